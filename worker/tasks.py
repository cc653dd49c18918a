"""What waits in a lane: a part to run, or another task for customers of one shard."""

from collections.abc import Callable, Hashable, Sequence
from datetime import timedelta
from typing import Final, Protocol

import structlog

from shards.directory import Placement
from shards.inbox import ContentConflict, Superseded
from worker.conclusion import Deferral
from worker.executor import Executor
from worker.job_in_hand import Part
from worker.lane import Reply
from worker.lane_queue import LaneItem
from worker.reports import Away, Ended, Report, turn_outcome
from worker.turn_end import TurnEnd

FAILURES: Final = frozenset({"failed", "retried"})
NOT_RECORDED: Final = Deferral(timedelta(seconds=5), "shard_away")

NotePart = Callable[[str, str], None]
"""Is told a job's type and what came of a part's turn."""

log = structlog.get_logger()


class Task(LaneItem, Protocol):
    """One turn on a worker thread, for customers of one shard."""

    @property
    def placements(self) -> Sequence[Placement]:
        """Where the directory had the customers when the task was made."""
        ...

    @property
    def held_since(self) -> float:
        """When its message was received, in monotonic seconds."""
        ...

    def run(self) -> Reply:
        """Do it and report to its owner; `UNANSWERED`, and no report, when the shard could not be asked."""
        ...

    def give_back(self, deferral: Deferral) -> None:
        """It will not run here now: report that to its owner."""
        ...

    def give_up(self) -> Callable[[], None] | None:
        """Its thread does not come back: what another thread has to do in its place; None: it came back.

        If it comes back after that, `run` returns `GIVEN_UP` and reports nothing.
        """
        ...


class PartTask:
    """Runs a part and tells its job how it ended."""

    def __init__(
        self, part: Part, executor: Executor, note_part: NotePart = lambda _type, _outcome: None
    ) -> None:
        self.part = part
        self._executor = executor
        self._note_part = note_part
        self.priority = part.owner.priority
        self.partner_id: str = part.owner.job.partner_id
        self.job_key: Hashable = part.owner
        self.held_since = part.owner.held[0].started_at
        self.placements = () if part.placement is None else (part.placement,)
        self.has_failed = False
        self._has_begun = False
        self._end = TurnEnd()

    @property
    def share_limit(self) -> int:
        """How many parts may share the transaction of this one; 1: it runs alone."""
        return self._executor.sharing.limit_of(self.part)

    @property
    def key(self) -> tuple[str, str]:
        """The key of the part's row in the inbox."""
        return self.part.identity.job_id, self.part.identity.customer_id

    def run(self) -> Reply:
        """Run the part, unless its job was ended while it waited; see `Task`."""
        if self.drop():
            return Reply.NOT_ASKED
        self._has_begun = True
        self._end.begin()
        report = self._executor.run(self.part, self._end.is_mine)
        return self.tell(report) if self._end.is_mine() else Reply.GIVEN_UP

    def drop(self) -> bool:
        """Whether the part's job was ended while it waited: it is dropped then."""
        drops = self.part.owner.drops()
        if drops:
            self.part.owner.part_dropped(self.part)
        return drops

    def give_up(self) -> Callable[[], None] | None:
        """Have it recorded that the part took too long; see `Task`."""
        return self.end_instead if self._has_begun and self._end.is_mine() else None

    def end_instead(self) -> None:
        """Record that the part took too long, on another thread than its own, and tell its job."""
        report = self._executor.record_out_of_time(self.part)
        if self.tell(report) is Reply.UNANSWERED:
            self.give_back(NOT_RECORDED)

    def tell(self, report: Report) -> Reply:
        """Tell the part's job how its turn ended; what that says about the shard."""
        owner = self.part.owner
        word = turn_outcome(report)
        self.has_failed = word in FAILURES
        if not owner.job.dry_run:
            self._note_part(owner.job_type, word)
        match report:
            case Away():
                return Reply.UNANSWERED
            case Ended(outcome):
                owner.part_ended(self.part, outcome)
            case Deferral() as deferral:
                owner.part_deferred(self.part, deferral)
                return Reply.NOT_ASKED if deferral.code == "shutdown" else Reply.ANSWERED
            case ContentConflict() as conflict:
                owner.part_conflicted(self.part, str(conflict))
            case Superseded():
                owner.part_superseded(self.part)
        return Reply.ANSWERED

    def give_back(self, deferral: Deferral) -> None:
        """Defer the part; see `Task`."""
        self._executor.defer(self.part)
        self.part.owner.part_deferred(self.part, deferral)
