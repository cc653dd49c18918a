"""Prepares what was received: decode, route, authorize, fetch attachments; then its parts go to the lanes."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from config.job import BadMessage
from config.points import passed
from config.result import error_of
from config.settings import Settings
from shards.directory import Placement, PlacementState
from shards.engines import Shards
from worker.attachments import AttachmentFetcher, AttachmentsUnavailable
from worker.clock import Clock
from worker.conclusion import Bury, Conclusion, Deferral, Reason, Return
from worker.dry_runs import deaths_of, end_refused, is_to_be_set_apart, kept_nowhere, refuse_killer
from worker.envelope import Envelope, Identity, asked_at, identity_of
from worker.facts import Facts
from worker.held import Held
from worker.inbox_look import OfferTask, Rows, came_before, look_first, start_knowing
from worker.job_in_hand import JobInHand, Part
from worker.objects import ObjectStoreUnavailable
from worker.opening import Opener
from worker.part_files import Admit, place, provide_files
from worker.refusal import InboxInquiry, Refuse
from worker.routing import Postpone, Route, Router, TooOld, part_identities
from worker.signing_keys import BadSignature
from worker.symfony.reading import UnknownClass
from worker.unhandled import Unhandled

log = structlog.get_logger()

JobKey = tuple[str, int, bool, str]


@dataclass(frozen=True, slots=True)
class Ways:
    """Where a job goes from here: parts and questions into lanes, its conclusion to the settler.

    `admit` says whether a part for a shard is worth fetching attachments for, and when else to come again.
    `note_conclusion` is told of each conclusion just before it is settled.
    """

    admit: Admit
    offer_part: Callable[[Part], Deferral | None]
    offer_task: OfferTask
    settle: Callable[[list[Held], Conclusion, Facts], None]
    note_conclusion: Callable[[JobInHand, Conclusion], None]


class Intake:
    """Takes deliveries in; thread-safe, run by the prepare threads, so that no lane waits for S3.

    Copies of a job that is in hand already are joined to it by job id, run and equal digests; a dry run is
    joined to dry runs only.
    """

    def __init__(
        self,
        settings: Settings,
        router: Router,
        fetcher: AttachmentFetcher,
        opener: Opener,
        shards: Shards,
        ways: Ways,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._router = router
        self._fetcher = fetcher
        self._opener = opener
        self._shards = shards
        self._ways = ways
        self._clock = clock
        self._lock = threading.Lock()
        self._jobs: dict[JobKey, JobInHand] = {}
        self._unhandled = Unhandled(settings, clock)

    def apply(self, settings: Settings) -> None:
        """Go by these settings from now on."""
        self._settings = settings
        self._unhandled.apply(settings)
        self._opener.apply(settings)

    def take(self, held: Held) -> None:
        """Take one delivery in, to its lanes or to its end; never raises."""
        try:
            self._take_body(held, self._opener.body(held))
        except BadMessage as error:
            self._settle(held, Bury(Reason(error.code, str(error))), None)
        except ObjectStoreUnavailable as error:
            self._settle(held, self._unhandled.later(held, error.code), None)
        except Exception:
            log.exception("intake.failed", message_id=held.delivery.message_id, queue=held.source.name)
            self._settle(held, self._unhandled.after_defect(held, None), None)
        finally:
            held.prepared_at = self._clock.monotonic()

    def jobs(self) -> list[JobInHand]:
        """The jobs in hand."""
        with self._lock:
            return list(self._jobs.values())

    def _take_body(self, held: Held, body: str) -> None:
        try:
            envelope = self._opener.envelope(body, held)
        except BadSignature:
            raise  # nothing in it is believed, not even who asks for an answer
        except UnknownClass as error:
            self._refuse_unknown(held, body, error)
        except BadMessage as error:
            self._refuse_unreadable(held, body, Refuse(error.code, str(error)))
        else:
            self._take_job(held, envelope)

    def _take_job(self, held: Held, envelope: Envelope) -> None:
        try:
            self._router.check_age(envelope)
            self._router.check_due(envelope)
        except TooOld as error:
            self._settle(held, Bury(Reason("too_old", str(error))), identity_of(envelope))
            return
        except Postpone as postponed:
            self._settle(held, _returned(postponed), identity_of(envelope))
            return
        if envelope.job.dry_run and self._set_apart(held, envelope):
            return
        requests = envelope.job.part_requests()
        identities = part_identities(envelope, requests)
        digests = "".join(identity.digest for identity in identities)
        # A dry run has the digests of the real job, and an answer of its own.
        key = (envelope.job.job_id, envelope.run, envelope.job.dry_run, digests)
        job = self._open(key, held, envelope)
        if job is None:
            return
        job.parts = tuple(
            Part(job, request, identity, None) for request, identity in zip(requests, identities, strict=True)
        )
        self._go(job, envelope)

    def _set_apart(self, held: Held, envelope: Envelope) -> bool:
        """Whether a dry run goes back to be watched from now on; one that is watched has its deaths told."""
        facts = (envelope.own, held.delivery.receive_count, self._settings.retry.suspect_receives)
        held.deaths = deaths_of(*facts)
        if not is_to_be_set_apart(*facts):
            return False
        held.deaths = 0
        self._settle(held, self._unhandled.set_apart(), identity_of(envelope))
        return True

    def _open(self, key: JobKey, held: Held, envelope: Envelope) -> JobInHand | None:
        """A new job in hand; None when the delivery joined one that is there."""

        def concluded(job: JobInHand, conclusion: Conclusion) -> None:
            with self._lock:
                if self._jobs.get(key) is job:
                    del self._jobs[key]
            self._ways.note_conclusion(job, conclusion)
            self._ways.settle(job.held, conclusion, Facts(job.identity, job.parts))

        with self._lock:
            there = self._jobs.get(key)
            if there is not None and there.join(held):
                passed("after_join")
                return None
            job = JobInHand(envelope, held, self._clock, concluded)
            job.suspect = held.delivery.receive_count >= self._settings.retry.suspect_receives
            job.came_before = came_before(held, envelope) and not envelope.job.dry_run
            self._jobs[key] = job
            return job

    def _go(self, job: JobInHand, envelope: Envelope) -> None:
        try:
            self._send_on(job, envelope)
        except Postpone as postponed:
            job.conclude(_returned(postponed))
        except AttachmentsUnavailable as error:
            job.conclude(self._unhandled.later(job.held[0], error.code))
        except Exception:
            log.exception(
                "intake.failed", message_id=job.held[0].delivery.message_id, **job.identity.log_names
            )
            job.conclude(self._unhandled.after_defect(job.held[0], identity_of(envelope)))

    def _send_on(self, job: JobInHand, envelope: Envelope) -> None:
        try:
            route = self._router.route(envelope)
        except Refuse as refusal:
            self._refuse_job(job, envelope, refusal)
        else:
            self._start(job, route)

    def _start(self, job: JobInHand, route: Route) -> None:
        job.handler = route.handler
        for part in job.parts:
            place(part, route.placements[part.request.customer_id])
        if job.job.dry_run:
            refuse_killer(job, self._settings.retry.max_starts)
        provide_files(job, self._fetcher, self._ways.admit)
        if job.job.dry_run:
            end_refused(job)
        passed("after_prepare")
        if job.came_before:
            look_first(job, self._shards, self._ways.offer_part, self._ways.offer_task)
        else:
            job.start(self._ways.offer_part)
        self._unhandled.taken_in(job.held[0])

    def _refuse_job(self, job: JobInHand, envelope: Envelope, refusal: Refuse) -> None:
        """Reject the job, unless the inbox knows a part of it: then its outcomes win and the rest fails.

        A dry run neither reads nor writes the inbox: it is rejected whatever ran under its id.
        """
        identity = identity_of(envelope)
        if envelope.job.dry_run:
            rejection = self._unhandled.rejected(identity, job.held[0], refusal)
            job.conclude(kept_nowhere(rejection, refusal.code))
            return
        placements = self._router.placements(envelope.job.customer_ids)

        def known(answer: Rows | Deferral) -> None:
            if isinstance(answer, Deferral):
                job.conclude(self._unhandled.unasked(job.held[0], identity, answer))
            elif answer:
                self._start_refused(job, placements, refusal, answer)
            else:
                job.conclude(self._unhandled.rejected(identity, job.held[0], refusal))

        self._inquire(job.held[0], identity, placements, known)

    def _start_refused(
        self, job: JobInHand, placements: Mapping[str, Placement], refusal: Refuse, rows: Rows
    ) -> None:
        for part in job.parts:
            part.refusal = error_of(refusal.code, str(refusal))
            place(part, placements.get(part.request.customer_id))
        start_knowing(job, rows, self._ways.offer_part)

    def _inquire(
        self,
        held: Held,
        identity: Identity,
        placements: Mapping[str, Placement],
        known: Callable[[Rows | Deferral], None],
    ) -> None:
        asked = [one for one in placements.values() if one.state is not PlacementState.GONE]
        inquiry = InboxInquiry(self._shards, identity, asked, known, held)
        inquiry.start(self._ways.offer_task)

    def _refuse_unknown(self, held: Held, body: str, error: UnknownClass) -> None:
        """Refuse a message of a class that stays unknown; the next version's is for a worker of that one."""
        wait = self._router.grace(asked_at(held))
        if wait is None:
            self._refuse_unreadable(held, body, Refuse(error.code, str(error)))
        else:
            self._settle(held, Return(wait, error.code), self._opener.identity(body, held))

    def _refuse_unreadable(self, held: Held, body: str, refusal: Refuse) -> None:
        """Bury a message that is no job; answer it if it can be and the inbox knows nothing of its id."""
        identity = self._opener.identity(body, held)
        bury = Bury(Reason(refusal.code, str(refusal)))
        if identity is None:
            self._settle(held, bury, None)
            return
        if identity.dry_run:
            self._settle(held, self._unhandled.rejected(identity, held, refusal), identity)
            return
        try:
            placements = self._router.placements(identity.customer_ids)
        except Postpone as postponed:
            self._settle(held, _returned(postponed), identity)
            return

        def known(answer: Rows | Deferral) -> None:
            if isinstance(answer, Deferral):
                self._settle(held, self._unhandled.unasked(held, identity, answer), identity)
            else:
                self._settle(
                    held, bury if answer else self._unhandled.rejected(identity, held, refusal), identity
                )

        self._inquire(held, identity, placements, known)

    def _settle(self, held: Held, conclusion: Conclusion, identity: Identity | None) -> None:
        self._ways.settle([held], conclusion, Facts(identity))


def _returned(postponed: Postpone) -> Return:
    return Return(postponed.deferral.after, postponed.deferral.code)
