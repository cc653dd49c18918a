"""Runs one part on its shard: the transaction with the handler in it, and what its failure leads to."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from sqlalchemy import Connection

from config.result import error_of, failed
from config.settings import Settings
from handlers.middleware import Middleware
from shards.engines import Shards
from shards.failures import Failure, Kind
from shards.guard import OutOfTime, PartConnection
from shards.inbox import Outcome
from shards.parts import PartStore, StartedBefore
from worker.clock import Clock
from worker.counted_starts import CountedStarts
from worker.failures import failure_of
from worker.gate import ALONE_PATIENCE_SECONDS, Gate
from worker.handler_call import HandlerCall, Payload, names_of, shard_name
from worker.job_in_hand import Part, shutdown_deferral
from worker.part_envelope import within_middleware
from worker.pulse import doing
from worker.recording import record_failure
from worker.reports import Ended, GivenUp, Report
from worker.shared_run import Begins, SharedRun, Together
from worker.sharing import Sharing
from worker.time_limits import TimeLimits
from worker.trial_run import TrialRun
from worker.turn_limits import statements_limit_seconds
from worker.turn_reports import TurnReports

START_SETTLES_SECONDS: Final = 1.0

IsMine = Callable[[], bool]
"""Whether the calling thread is the one that may end the part's turn."""


class Executor:
    """Runs parts, each in one transaction; `forget` tells the directory of customers that are elsewhere."""

    def __init__(
        self,
        shards: Shards,
        settings: Settings,
        middleware: Sequence[Middleware],
        clock: Clock,
        stop: threading.Event,
        forget: Callable[[Sequence[str]], None],
        time_limits: TimeLimits,
    ) -> None:
        self._shards = shards
        self._settings = settings
        self._middleware = middleware
        self._clock = clock
        self._stop = stop
        self._reports = TurnReports(shards, settings, clock, forget)
        self._gate = Gate()
        self._counted_starts = CountedStarts()
        self._handler_call = HandlerCall(settings, time_limits, clock.monotonic)
        self.sharing = Sharing(settings, clock.monotonic, has_middleware=bool(middleware))
        self._shared_run = SharedRun(shards, settings, self._handler_call, self.sharing, clock)
        self._trial_run = TrialRun(
            shards, settings, middleware, self._handler_call, self._gate, self._reports, stop
        )

    def apply(self, settings: Settings) -> None:
        """Go by these settings from now on."""
        self._settings = settings
        self._reports.apply(settings)
        self._trial_run.apply(settings)
        self._handler_call.apply(settings)
        self.sharing.apply(settings)

    def run(self, part: Part, is_mine: IsMine = lambda: True) -> Report:
        """Run the part to a report; never raises, whatever the handler does."""
        started = self._clock.monotonic()
        part.lane_wait_seconds += started - part.queued_at
        limit_seconds = statements_limit_seconds(self._shards.get(shard_name(part)))
        try:
            with doing("runs a part", limit_seconds, **names_of(part)):
                report = self._run(part, is_mine)
                if isinstance(report, Ended):
                    self._counted_starts.pay(shard_name(part))
                return report
        finally:
            part.queued_at = self._clock.monotonic()
            part.database_seconds += part.queued_at - started

    def run_together(self, parts: Sequence[Part], begins: Begins) -> Together:
        """Run parts of one shard and schema in one transaction; `begins` is told of each before its handler.

        Those that have no outcome then are to be run alone, if this thread may still do that. Never raises.
        """
        started = self._clock.monotonic()
        for part in parts:
            part.lane_wait_seconds += started - part.queued_at
        shard = self._shards.get(shard_name(parts[0]))
        try:
            with doing("runs parts together", statements_limit_seconds(shard)), self._gate.together():
                together = self._shared_run.run(parts, begins)
            if together.outcomes:
                self._counted_starts.pay(shard.name)
            return together
        finally:
            ended = self._clock.monotonic()
            for part in parts:
                part.queued_at = ended
                part.database_seconds += (ended - started) / len(parts)

    def record_out_of_time(self, part: Part) -> Report:
        """Write to the inbox that the part took too long, in place of its thread that does not come back."""

        def give_up(_store: PartStore, _part: Part) -> Outcome:
            raise OutOfTime

        if part.owner.job.dry_run:
            return self._trial_run.out_of_time(part)
        self._counted_starts.forget(part)
        report = self._try(part, give_up, lambda: True)
        return self._reports.busy(part, "busy") if isinstance(report, StartedBefore) else report

    def do_without(self, thread: int) -> None:
        """Keep nobody waiting for this thread's part: it does not come back."""
        self._gate.leave(thread)

    def defer(self, part: Part) -> None:
        """The part waits for another delivery: a start that it still owes its inbox is taken back later."""
        if part.start_counted and part.placement is not None:
            self._counted_starts.owe(part, self._store(part))

    def take_back_starts(self) -> None:
        """Take back the counted starts of parts that still run: the process leaves amid them."""
        self._counted_starts.take_back()

    def _run(self, part: Part, is_mine: IsMine) -> Report:
        if part.owner.job.dry_run:
            return self._trial_run.run(part, is_mine)
        action = partial(self._start, known=0) if part.owner.suspect else self._work_or_refuse
        with self._gate.together():
            report = self._try(part, action, is_mine)
        return self._run_alone(part, report.starts, is_mine) if isinstance(report, StartedBefore) else report

    def _run_alone(self, part: Part, starts: int, is_mine: IsMine) -> Report:
        """Run a part that may have killed a process: alone, so that no other part pays for it.

        Many receives alone are no reason: they come from shards that were away or busy too, and everybody
        else would stand still for parts that only wait. Nor are starts of others that are about to claim the
        part: whoever lives has claimed it a moment later, and the part is busy then.
        """
        if self._stop.wait(START_SETTLES_SECONDS):
            return shutdown_deferral()
        with self._gate.alone(ALONE_PATIENCE_SECONDS) as alone:
            if not alone:
                return self._reports.busy(part, "busy")
            report = self._try(part, partial(self._start, known=starts), is_mine)
        return self._reports.busy(part, "busy") if isinstance(report, StartedBefore) else report

    def _try(
        self, part: Part, action: Callable[[PartStore, Part], Outcome], is_mine: IsMine
    ) -> Report | StartedBefore:
        """Take the action, and record the failure that it ends in; both can find that the shard is away."""
        store = self._store(part)
        report = self._reports.of(part, lambda: Ended(action(store, part)))
        if isinstance(report, Failure) and not is_mine():
            return GivenUp()
        if isinstance(report, Failure):
            report = self._reports.of(part, partial(self._record, store, part, report))
        if isinstance(report, Failure):
            # What a handler raised cannot be written as it is: that it cannot is recorded in its place.
            report = self._reports.of(part, partial(self._record, store, part, report))
        if isinstance(report, Failure):
            # Recording itself failed in a way that asking again can mend: the part is as if it never ran.
            return self._reports.busy(part, report.code)
        return report

    def _store(self, part: Part) -> PartStore:
        assert part.placement is not None  # noqa: S101 - parts without a placement never reach a lane
        return PartStore(
            self._shards.get(part.placement.shard),
            part.placement,
            clock=lambda: self._clock.now().timestamp(),
            stop=self._stop,
            transaction_tries=self._settings.retry.transaction_tries,
            check_placement=self._settings.directory.placement_rows,
        )

    def _work_or_refuse(self, store: PartStore, part: Part) -> Outcome:
        if part.refusal is not None:
            body = failed(part.request.customer_id, part.refusal)
            return store.fail(part.identity, body, dead_letter=False)
        return self._work(store, part)

    def _work(self, store: PartStore, part: Part) -> Outcome:
        def transaction() -> Outcome:
            payload = Payload(part)

            def work(connection: Connection) -> bytes:
                assert isinstance(connection, PartConnection)  # noqa: S101 - every shard's is one
                if part.start_counted:
                    self._counted_starts.connected(part, connection)
                return self._handler_call.call(part, connection, payload.take())

            return store.run(part.identity, work)

        return within_middleware(self._middleware, part, transaction, self._shards)

    def _start(self, store: PartStore, part: Part, *, known: int) -> Outcome:
        if part.refusal is not None:
            return self._work_or_refuse(store, part)
        found = None if part.start_counted else self._count_start(store, part, known)
        return found or self._take_back_unless_ended(store, part)

    def _count_start(self, store: PartStore, part: Part, known: int) -> Outcome | None:
        starts = self._settings.retry.max_starts
        error = error_of("worker_killed", f"The process died {starts} times while it ran this part.")
        killed = failed(part.request.customer_id, error)
        found = store.count_start(part.identity, starts, killed, known=known)
        part.start_counted = found is None
        return found

    def _take_back_unless_ended(self, store: PartStore, part: Part) -> Outcome:
        try:
            with self._counted_starts.running(part, store):
                return self._work(store, part)
        except BaseException as error:
            if failure_of(error, self._dialect(part)).kind in {Kind.BUSY, Kind.AWAY, Kind.OUTSIDE}:
                store.take_back_start(part.identity)
                part.start_counted = False
            raise

    def _record(self, store: PartStore, part: Part, failure: Failure) -> Report:
        return record_failure(store, part, failure, self._settings.retry, self._clock.random())

    def _dialect(self, part: Part) -> str:
        return self._shards.get(shard_name(part)).dialect
