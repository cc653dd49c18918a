"""What a job may do and where its parts go: the checks between decoding and fetching."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from config.digest import part_digests
from config.job import PartRequest
from config.settings import Settings
from handlers.registry import HandlerSpec, Registry
from shards.directory import Directory, DirectoryUnavailable, Placement, PlacementState
from shards.grants import Grants
from shards.inbox import PartIdentity
from worker.attachments import AttachmentFetcher
from worker.clock import Clock
from worker.conclusion import Deferral
from worker.envelope import CLOCK_SKEW_MAXIMUM, Envelope
from worker.refusal import Refuse
from worker.waits import not_due_delay

UNKNOWN_DELAY: Final = timedelta(seconds=30)
PAUSED_STATES: Final = frozenset({PlacementState.PAUSED, PlacementState.MOVING})


class Postpone(Exception):
    """The job cannot go on now, for no fault of its own: release it, count nothing."""

    def __init__(self, deferral: Deferral) -> None:
        super().__init__(deferral.code)
        self.deferral = deferral


class TooOld(Exception):
    """The job is older than the inbox is kept: whether it ran can no longer be told."""


@dataclass(frozen=True, slots=True)
class Route:
    """A job's way: its handler and the placement of each customer."""

    handler: HandlerSpec
    placements: Mapping[str, Placement]


class Router:
    """Finds the way of a job, or says why there is none; asks the directory, never a shard."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        directory: Directory,
        grants: Grants,
        fetcher: AttachmentFetcher,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._directory = directory
        self._grants = grants
        self._fetcher = fetcher
        self._clock = clock

    def apply(self, settings: Settings) -> None:
        """Go by these settings from now on."""
        self._settings = settings

    def check_age(self, envelope: Envelope) -> None:
        """Raises `TooOld` for a job from before the inbox's retention."""
        if self._clock.now() - envelope.born_at > self._settings.inbox.retention:
            raise TooOld(
                f"The job was first sent or due on {envelope.born_at:%Y-%m-%d}, longer ago than inbox rows "
                "are kept. It may have run then: look at the customers' data before sending it as a new job."
            )

    def check_due(self, envelope: Envelope) -> None:
        """Raises `Postpone` for a message that is to wait, as it says itself, until a later moment.

        It waits no longer than the inbox's retention since it was sent, and a little, by whichever clock: by
        then its job is too old, or the moment is not what a worker wrote.
        """
        longest = self._settings.inbox.retention + 2 * CLOCK_SKEW_MAXIMUM
        delay = not_due_delay(envelope.own.not_before, envelope.sent_at, self._clock.now(), longest)
        if delay is not None:
            raise Postpone(Deferral(delay, "not_due"))

    def route(self, envelope: Envelope) -> Route:
        """The job's way.

        Raises:
            Refuse: the job may not run, or asks for what does not exist.
            Postpone: a type or customer is not known here yet, or the directory or catalog is away.
        """
        job = envelope.job
        handler = self._registry.get(envelope.job_type)
        if handler is None:
            raise self._unknown("unknown_type", f"No handler for the type {envelope.job_type!r}.", envelope)
        placements = self.placements(job.customer_ids)
        missing = [customer for customer in job.customer_ids if customer not in placements]
        if missing:
            message = f"No shard has the customer {missing[0]!r} ({len(missing)} of the job are unknown)."
            raise self._unknown("unknown_customer", message, envelope)
        self._authorize(envelope)
        return Route(handler, placements)

    def placements(self, customer_ids: tuple[str, ...]) -> Mapping[str, Placement]:
        """Where the customers live; raises `Postpone` when the directory is away."""
        with self._directory_asked():
            return self._directory.find(customer_ids)

    def _authorize(self, envelope: Envelope) -> None:
        job = envelope.job
        with self._directory_asked():
            refusal = self._grants.refusal(job.partner_id, envelope.job_type, job.customer_ids)
        if refusal is not None:
            raise Refuse("not_granted", refusal)
        refusal = self._fetcher.check_allowed(job.partner_id, job.attachments)
        if refusal is not None:
            raise Refuse("attachment_not_allowed", refusal)
        if job.expires_at is not None and self._clock.now() >= job.expires_at:
            raise Refuse("expired", f"The job expired at {job.expires_at.isoformat()}.")

    @contextmanager
    def _directory_asked(self) -> Iterator[None]:
        try:
            yield
        except DirectoryUnavailable as error:
            raise Postpone(Deferral(self._settings.deferral.busy_delay, "directory_away")) from error

    def grace(self, asked_at: datetime) -> timedelta | None:
        """How long what is unknown here waits for a worker that may know it; None: it has waited enough.

        A worker of the version before must not refuse what the version after it knows.
        """
        left = asked_at + self._settings.deferral.unknown_grace - self._clock.now()
        return min(left, UNKNOWN_DELAY) if left > timedelta() else None

    def _unknown(self, code: str, message: str, envelope: Envelope) -> Refuse | Postpone:
        wait = self.grace(envelope.asked_at)
        return Refuse(code, message) if wait is None else Postpone(Deferral(wait, code))


def wait_for(placement: Placement) -> Deferral | None:
    """The wait of a part whose customer is paused or being moved; None when it can go on."""
    return Deferral(UNKNOWN_DELAY, "customer_paused") if placement.state in PAUSED_STATES else None


def part_identities(envelope: Envelope, requests: tuple[PartRequest, ...]) -> list[PartIdentity]:
    """What the inbox knows the job's parts by."""
    job = envelope.job
    digests = part_digests(job, envelope.job_type, requests)
    return [
        PartIdentity(
            job_id=job.job_id,
            customer_id=request.customer_id,
            run=envelope.run,
            digest=digest,
            part_no=request.part_no,
            part_count=len(requests),
            job_type=envelope.job_type,
            partner_id=job.partner_id,
            correlation_id=job.correlation_id,
        )
        for request, digest in zip(requests, digests, strict=True)
    ]
