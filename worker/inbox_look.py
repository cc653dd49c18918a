"""Looks at the inbox before anything runs: one query for all of a job's customers at the same place."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

import structlog

from config.headers import OwnHeader
from shards.claims import decide
from shards.directory import Placement
from shards.engines import Shards
from shards.failures import Kind, classify
from shards.inbox import BrokenTransaction, ContentConflict, InboxFault, InboxRow, Outcome, Superseded
from shards.parts import find_outcomes
from worker.conclusion import Deferral
from worker.envelope import Envelope, Identity
from worker.held import Held
from worker.job_in_hand import JobInHand, Offer, Part
from worker.lane import Reply
from worker.pulse import doing
from worker.tasks import Task
from worker.turn_limits import statements_limit_seconds

PARTS_MINIMUM: Final = 2  # of one part alone the claim tells as much, and is needed anyway if it is to run

Rows = Mapping[str, InboxRow]

log = structlog.get_logger()


class OfferTask(Protocol):
    """Puts a task into its shard's lane; None when it was taken, else why not and when to come again."""

    def __call__(self, shard: str, task: Task, /) -> Deferral | None:
        """Offer the task to the lane."""
        ...


class LookUp:
    """Asks one inbox, of a shard and schema, what it knows of a job: reports the rows, by customer.

    All `placements` are in that shard and schema. `job_key` is what the lane knows the job by, `held` the
    delivery that it came with.
    """

    def __init__(
        self,
        shards: Shards,
        identity: Identity,
        job_key: Hashable,
        placements: Sequence[Placement],
        report: Callable[[Rows | Deferral], None],
        held: Held,
    ) -> None:
        self._shards = shards
        self._job_id = identity.job_id
        self._log_names = identity.log_names
        self._report = report
        self.partner_id: str = identity.partner_id
        self.job_key = job_key
        self.held_since = held.started_at
        self.priority = held.priority
        self.placements = placements
        self.shard_name = placements[0].shard

    def run(self) -> Reply:
        """Look, and report what was found; see `Task`."""
        shard = self._shards.get(self.shard_name)
        customer_ids = [placement.customer_id for placement in self.placements]
        limit_seconds = statements_limit_seconds(shard)
        try:
            with doing("looks at an inbox", limit_seconds, job=self._job_id, shard=self.shard_name):
                rows = find_outcomes(shard, self.placements[0].schema, self._job_id, customer_ids)
        except Exception as error:  # noqa: BLE001 - whatever the driver raises: the shard gave no answer
            self._log_unanswered(error, shard.dialect)
            return Reply.UNANSWERED
        self._report(rows)
        return Reply.ANSWERED

    def give_back(self, deferral: Deferral) -> None:
        """Report that the look did not happen; see `Task`."""
        self._report(deferral)

    def give_up(self) -> None:
        """It has no handler that could go on for ever; see `Task`."""

    def _log_unanswered(self, error: Exception, dialect: str) -> None:
        failure = classify(error, dialect)
        facts = {
            "shard": self.shard_name,
            **self._log_names,
            "error_code": failure.code,
            "msg": failure.message,
        }
        if failure.kind is Kind.AWAY and not isinstance(error, InboxFault):
            log.warning("shard.unanswered", **facts)
        else:
            log.error("inbox.fault", **facts)


def came_before(held: Held, envelope: Envelope) -> bool:
    """Whether the job may have been here before: received again, sent again by a worker, run again."""
    return held.delivery.receive_count > 1 or envelope.run > 1 or envelope.own != OwnHeader()


def look_first(job: JobInHand, shards: Shards, offer_part: Offer, offer_task: OfferTask) -> None:
    """Start the job: where two or more of its parts have the same inbox, that is asked before they run.

    Parts whose outcome is there end with it; the others of the place run then. Each place goes on by itself:
    where one cannot be asked, its parts wait for another delivery. Parts that are alone run at once.

    Raises what the offers raise; the job is to be concluded then.
    """
    places = [parts for parts in _by_inbox(job.parts) if len(parts) >= PARTS_MINIMUM]
    job.start(offer_part, held_back=[part for parts in places for part in parts])
    for parts in places:
        report = partial(_report, job, parts)
        task = LookUp(shards, job.identity, job, _placements(parts), report, job.held[0])
        deferral = offer_task(task.shard_name, task)
        if deferral is not None:
            task.give_back(deferral)


def start_knowing(job: JobInHand, rows: Rows, offer_part: Offer) -> None:
    """Start the job with the rows that all its inboxes hold: only parts without an outcome there run."""
    asked = [part for part in job.parts if _is_to_ask(part)]
    job.start(offer_part, held_back=asked)
    _end_known(job, asked, rows)


def by_place(placements: Iterable[Placement]) -> list[list[Placement]]:
    """The placements, those with the same inbox together."""
    places: dict[tuple[str, str | None], list[Placement]] = defaultdict(list)
    for placement in placements:
        places[placement.shard, placement.schema].append(placement)
    return list(places.values())


def _by_inbox(parts: Sequence[Part]) -> list[list[Part]]:
    parts_of = {part.request.customer_id: part for part in parts}
    places = by_place(_placements([part for part in parts if _is_to_ask(part)]))
    return [[parts_of[placement.customer_id] for placement in place] for place in places]


def _is_to_ask(part: Part) -> bool:
    return part.placement is not None and part.postponed is None


def _placements(parts: Sequence[Part]) -> list[Placement]:
    return [part.placement for part in parts if part.placement is not None]


def _report(job: JobInHand, parts: Sequence[Part], found: Rows | Deferral) -> None:
    if not isinstance(found, Deferral):
        _end_known(job, parts, found)
        return
    for part in parts:
        job.part_deferred(part, found)


def _end_known(job: JobInHand, parts: Sequence[Part], rows: Rows) -> None:
    """End the parts whose row says what their claim would find; the others' claims decide as ever."""
    job.let_go([part for part in parts if not _ended(part, rows.get(part.request.customer_id))])


def _ended(part: Part, row: InboxRow | None) -> bool:
    """Whether the part's row says how it ends; it has ended then."""
    if row is None:
        return False
    try:
        decision = decide(part.identity, row)
    except ContentConflict as conflict:
        part.owner.part_conflicted(part, str(conflict))
    except Superseded:
        part.owner.part_superseded(part)
    except BrokenTransaction:
        return False
    else:
        if not isinstance(decision, Outcome):
            return False
        part.owner.part_ended(part, decision)
    return True
