"""Runs a dry run's part: the whole way on its shard, rolled back; whatever fails in it is its answer."""

import threading
from collections.abc import Callable, Sequence
from functools import partial

from config.result import error_of, failed
from config.settings import Settings
from handlers.middleware import Middleware
from shards.changes import Changes
from shards.engines import Shards
from shards.failures import Failure, Kind
from shards.guard import OutOfTime, PartConnection
from shards.inbox import Outcome
from shards.parts import StartedBefore
from shards.trial import Trial
from worker.gate import ALONE_PATIENCE_SECONDS, Gate
from worker.handler_call import HandlerCall, Payload
from worker.job_in_hand import Part
from worker.part_envelope import within_middleware
from worker.reports import Ended, GivenUp, Report
from worker.turn_reports import TurnReports


class TrialRun:
    """Runs parts of dry runs; nothing is written, so that nothing is counted or remembered."""

    def __init__(
        self,
        shards: Shards,
        settings: Settings,
        middleware: Sequence[Middleware],
        handler_call: HandlerCall,
        gate: Gate,
        reports: TurnReports,
        stop: threading.Event,
    ) -> None:
        self._shards = shards
        self._settings = settings
        self._middleware = middleware
        self._handler_call = handler_call
        self._gate = gate
        self._reports = reports
        self._stop = stop

    def apply(self, settings: Settings) -> None:
        """Go by these settings from now on."""
        self._settings = settings

    def run(self, part: Part, is_mine: Callable[[], bool]) -> Report:
        """Run the part to a report; never raises. `is_mine`: whether this thread may still end its turn.

        A dry run that workers died with runs alone in the process, and before others that are to run alone.
        """
        if not part.owner.held[0].deaths:
            with self._gate.together():
                return self._run(part, is_mine)
        with self._gate.alone(ALONE_PATIENCE_SECONDS) as alone:
            return self._run(part, is_mine) if alone else self._reports.busy(part, "busy")

    def out_of_time(self, part: Part) -> Report:
        """The answer of a part that took too long, in place of its thread that does not come back."""
        return _ended_as(part, OutOfTime().failure)

    def _run(self, part: Part, is_mine: Callable[[], bool]) -> Report:
        report = self._reports.of(part, lambda: Ended(self._outcome(part)))
        if isinstance(report, Failure):
            return _ended_as(part, report) if is_mine() else GivenUp()
        return self._reports.busy(part, "busy") if isinstance(report, StartedBefore) else report

    def _outcome(self, part: Part) -> Outcome:
        def transaction() -> Outcome:
            payload = Payload(part)
            body = self._trial(part).run(partial(self._work, part, payload))
            return Outcome("succeeded", part.identity.run, body)

        return within_middleware(self._middleware, part, transaction, self._shards)

    def _work(self, part: Part, payload: Payload, connection: PartConnection, changes: Changes) -> bytes:
        return self._handler_call.call(part, connection, payload.take(), changes=changes)

    def _trial(self, part: Part) -> Trial:
        assert part.placement is not None  # noqa: S101 - parts without a placement never reach a lane
        return Trial(
            self._shards.get(part.placement.shard),
            part.placement,
            stop=self._stop,
            transaction_tries=self._settings.retry.transaction_tries,
            check_placement=self._settings.directory.placement_rows,
        )


def _ended_as(part: Part, failure: Failure) -> Ended:
    passing = failure.kind is Kind.TRANSIENT
    error = error_of(failure.code, failure.message, failure.details, retryable=passing)
    return Ended(Outcome("failed", part.identity.run, failed(part.request.customer_id, error)))
