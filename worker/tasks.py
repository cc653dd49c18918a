"""What waits in a lane: a part to run, or a look at the inbox before a job is refused."""

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

import structlog

from shards.directory import Placement
from shards.engines import Shards
from shards.failures import Kind, classify
from shards.inbox import ContentConflict, InboxFault, Superseded
from shards.parts import find_outcomes
from worker.conclusion import Deferral
from worker.envelope import Identity
from worker.executor import Away, Ended, Executor
from worker.job_in_hand import Part
from worker.lane import Reply
from worker.lane_queue import LaneItem

log = structlog.get_logger()


class Task(LaneItem, Protocol):
    """One turn on a worker thread, for customers of one shard."""

    @property
    def placements(self) -> Sequence[Placement]:
        """Where the directory had the customers when the task was made."""
        ...

    def run(self) -> Reply:
        """Do it and report to its owner; `UNANSWERED`, and no report, when the shard could not be asked."""
        ...

    def give_back(self, deferral: Deferral) -> None:
        """It will not run here now: report that to its owner."""
        ...


class PartTask:
    """Runs a part and tells its job how it ended."""

    def __init__(self, part: Part, executor: Executor) -> None:
        self._part = part
        self._executor = executor
        self.partner_id: str = part.owner.job.partner_id
        self.job_key: Hashable = part.owner
        self.placements = () if part.placement is None else (part.placement,)

    def run(self) -> Reply:
        """Run the part, unless its job was ended while it waited; see `Task`."""
        owner = self._part.owner
        if owner.drops():
            owner.part_dropped()
            return Reply.NOT_ASKED
        match self._executor.run(self._part):
            case Away():
                return Reply.UNANSWERED
            case Ended(outcome):
                owner.part_ended(self._part, outcome)
            case Deferral() as deferral:
                owner.part_deferred(self._part, deferral)
                return Reply.NOT_ASKED if deferral.code == "shutdown" else Reply.ANSWERED
            case ContentConflict() as conflict:
                owner.part_conflicted(str(conflict))
            case Superseded():
                owner.part_superseded()
        return Reply.ANSWERED

    def give_back(self, deferral: Deferral) -> None:
        """Defer the part; see `Task`."""
        self._part.owner.part_deferred(self._part, deferral)


class LookUp:
    """Asks one inbox, of a shard and schema, whether it knows a job, for the sake of a refusal."""

    def __init__(
        self,
        shards: Shards,
        identity: Identity,
        placements: Sequence[Placement],
        report: Callable[[bool | Deferral], None],
    ) -> None:
        self._shards = shards
        self._job_id = identity.job_id
        self._report = report
        self.partner_id: str = identity.partner_id
        self.job_key: Hashable = identity.job_id
        self.placements = placements
        self.shard_name = placements[0].shard

    def run(self) -> Reply:
        """Look, and report whether a row was found; see `Task`."""
        shard = self._shards.get(self.shard_name)
        customer_ids = [placement.customer_id for placement in self.placements]
        try:
            rows = find_outcomes(shard, self.placements[0].schema, self._job_id, customer_ids)
        except Exception as error:  # noqa: BLE001 - whatever the driver raises: the shard gave no answer
            self._log_unanswered(error, shard.dialect)
            return Reply.UNANSWERED
        self._report(bool(rows))
        return Reply.ANSWERED

    def give_back(self, deferral: Deferral) -> None:
        """Report that the look did not happen; see `Task`."""
        self._report(deferral)

    def _log_unanswered(self, error: Exception, dialect: str) -> None:
        failure = classify(error, dialect)
        facts = {
            "shard": self.shard_name,
            "job": self._job_id,
            "error_code": failure.code,
            "msg": failure.message,
        }
        if failure.kind is Kind.AWAY and not isinstance(error, InboxFault):
            log.warning("shard.unanswered", **facts)
        else:
            log.error("inbox.fault", **facts)
