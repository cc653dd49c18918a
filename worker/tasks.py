"""What waits in a lane: a part to run, or a look at the inbox before a job is refused."""

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

import structlog

from shards.engines import Shards
from shards.failures import Kind, classify
from shards.inbox import ContentConflict, InboxFault, Superseded
from shards.parts import find_outcomes
from worker.conclusion import Deferral
from worker.executor import Away, Ended, Executor
from worker.job_in_hand import Part, shutdown_deferral

log = structlog.get_logger()


class Task(Protocol):
    """One turn on a worker thread."""

    def run(self) -> bool:
        """Do it and report to its owner; False, and no report, when the shard could not be asked."""
        ...

    def give_back(self, code: str) -> None:
        """It will not run here: report that to its owner."""
        ...


class PartTask:
    """Runs a part and tells its job how it ended."""

    def __init__(self, part: Part, executor: Executor) -> None:
        self._part = part
        self._executor = executor

    def run(self) -> bool:
        """Run the part, unless its job was ended while it waited; see `Task`."""
        owner = self._part.owner
        if owner.drops():
            owner.part_dropped()
            return True
        match self._executor.run(self._part):
            case Away():
                return False
            case Ended(outcome):
                owner.part_ended(self._part, outcome)
            case Deferral() as deferral:
                owner.part_deferred(deferral)
            case ContentConflict() as conflict:
                owner.part_conflicted(str(conflict))
            case Superseded():
                owner.part_superseded()
        return True

    def give_back(self, code: str) -> None:
        """Defer the part; see `Task`."""
        self._part.owner.part_deferred(self.deferral(code))

    def deferral(self, code: str) -> Deferral:
        """At once for a stop, after a growing delay for a shard that is away."""
        if code == "shutdown":
            return shutdown_deferral()
        receives = self._part.owner.held[0].delivery.receive_count
        return Deferral(self._executor.away_delay(receives), code)


class LookUp:
    """Asks one shard's inbox whether it knows a job, for the sake of a refusal."""

    def __init__(
        self,
        shards: Shards,
        place: tuple[str, str | None],
        job_id: str,
        customer_ids: list[str],
        report: Callable[[bool | Deferral], None],
    ) -> None:
        self._shards = shards
        self._shard, self._schema = place
        self._job_id = job_id
        self._customer_ids = customer_ids
        self._report = report

    def run(self) -> bool:
        """Look, and report whether a row was found; see `Task`."""
        shard = self._shards.get(self._shard)
        try:
            rows = find_outcomes(shard, self._schema, self._job_id, self._customer_ids)
        except Exception as error:  # noqa: BLE001 - whatever the driver raises: the shard gave no answer
            failure = classify(error, shard.dialect)
            if failure.kind is Kind.AWAY and not isinstance(error, InboxFault):
                log.warning(
                    "shard.unanswered", shard=self._shard, error_code=failure.code, msg=failure.message
                )
            else:
                log.error("inbox.fault", shard=self._shard, error_code=failure.code, msg=failure.message)
            return False
        self._report(bool(rows))
        return True

    def give_back(self, code: str) -> None:
        """Report that the look did not happen, for its owner to say when to try again; see `Task`."""
        self._report(Deferral(timedelta(), code))
