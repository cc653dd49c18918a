"""Looking: the notices are read again and again; what keeps them from being read is told."""

from datetime import timedelta

import structlog

from worker.clock import Clock
from worker.ec2.notices import Outlook, Rebalance
from worker.ec2.tries import Tries

log = structlog.get_logger()


class Looking:
    """A chore: reads the outlook in an interval, sooner after a failure."""

    def __init__(self, outlook: Outlook, interval: timedelta, clock: Clock) -> None:
        self._outlook = outlook
        self._interval_seconds = interval.total_seconds()
        self._tries = Tries(clock.random, interval)
        self._recommended: Rebalance | None = None

    @property
    def due_at(self) -> float:
        """When to look next."""
        return self._tries.due_at

    def turn(self, now: float) -> None:
        """Look; a recommendation is told when it is new."""
        fault = self._outlook.look()
        if fault is None:
            self._tries.succeed(now + self._interval_seconds)
        else:
            delay_ms = self._tries.fail(now)
            if self._tries.is_worth_a_line:
                tries = self._tries.failures
                log.warning("ec2.metadata_failed", error=str(fault), tries=tries, delay_ms=delay_ms)
        self._tell_recommendation()

    def _tell_recommendation(self) -> None:
        recommended = self._outlook.notices.rebalance
        if recommended is not None and recommended != self._recommended:
            log.warning("ec2.rebalance_recommended", noticed_at=recommended.notice_time.isoformat())
        self._recommended = recommended
