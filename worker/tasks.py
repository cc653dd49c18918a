"""What waits in a lane: a part to run, or another task for customers of one shard."""

import threading
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
        self._part = part
        self._executor = executor
        self._note_part = note_part
        self.priority = part.owner.priority
        self.partner_id: str = part.owner.job.partner_id
        self.job_key: Hashable = part.owner
        self.held_since = part.owner.held[0].started_at
        self.placements = () if part.placement is None else (part.placement,)
        self._lock = threading.Lock()
        self._has_begun = False
        self._ended_by: int | None = None

    def run(self) -> Reply:
        """Run the part, unless its job was ended while it waited; see `Task`."""
        owner = self._part.owner
        if owner.drops():
            owner.part_dropped(self._part)
            return Reply.NOT_ASKED
        self._has_begun, self._ended_by = True, None
        report = self._executor.run(self._part, self._is_mine_to_end)
        return self._tell(report) if self._is_mine_to_end() else Reply.GIVEN_UP

    def give_up(self) -> Callable[[], None] | None:
        """Have it recorded that the part took too long; see `Task`."""
        return self._end_instead if self._has_begun and self._is_mine_to_end() else None

    def _end_instead(self) -> None:
        report = self._executor.record_out_of_time(self._part)
        if self._tell(report) is Reply.UNANSWERED:
            self.give_back(NOT_RECORDED)

    def _is_mine_to_end(self) -> bool:
        """Whether the calling thread is the first that wants to end the turn; also when it asks again."""
        thread = threading.get_ident()
        with self._lock:
            if self._ended_by is None:
                self._ended_by = thread
            return self._ended_by == thread

    def _tell(self, report: Report) -> Reply:
        owner = self._part.owner
        self._note_part(owner.job_type, turn_outcome(report))
        match report:
            case Away():
                return Reply.UNANSWERED
            case Ended(outcome):
                owner.part_ended(self._part, outcome)
            case Deferral() as deferral:
                owner.part_deferred(self._part, deferral)
                return Reply.NOT_ASKED if deferral.code == "shutdown" else Reply.ANSWERED
            case ContentConflict() as conflict:
                owner.part_conflicted(self._part, str(conflict))
            case Superseded():
                owner.part_superseded(self._part)
        return Reply.ANSWERED

    def give_back(self, deferral: Deferral) -> None:
        """Defer the part; see `Task`."""
        self._executor.defer(self._part)
        self._part.owner.part_deferred(self._part, deferral)
