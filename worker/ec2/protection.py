"""Scale-in protection of the machine, for as long as one of its workers runs a long handler call."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from worker.clock import Clock
from worker.ec2.auto_scaling import AutoScaling, AutoScalingFault, Membership
from worker.ec2.tries import Tries
from worker.status_file import read_statuses

STALE: Final = timedelta(minutes=1)
ASK_AGAIN: Final = timedelta(minutes=10)
RETRY_MAXIMUM: Final = timedelta(minutes=5)

log = structlog.get_logger()


class Protection:
    """Protects the machine while a handler call runs for `after` or longer; else it can be chosen again.

    A chore. Two calls for each time that any does, none while none does; and one now and then while it does,
    for the machine may be in another group by now. Where a protection was there before, it is taken for one
    that an earlier watcher has left. What cannot be set is tried again.
    """

    def __init__(
        self,
        auto_scaling: AutoScaling,
        longest: Callable[[], timedelta],
        after: timedelta,
        interval: timedelta,
        clock: Clock,
    ) -> None:
        self._auto_scaling = auto_scaling
        self._longest = longest
        self._after = after
        self._interval_seconds = interval.total_seconds()
        self._tries = Tries(clock.random, RETRY_MAXIMUM)
        self._membership: Membership | None = None
        self._asked_at: float | None = None

    @property
    def due_at(self) -> float:
        """When to look next."""
        return self._tries.due_at

    def turn(self, now: float) -> None:
        """Look, and set what has changed."""
        try:
            self._look(now)
            self._tries.succeed(now + self._interval_seconds)
        except AutoScalingFault as fault:
            if fault.is_refusal:
                self._asked_at = None
            self._note(fault, now)

    def _look(self, now: float) -> None:
        longest = self._longest()
        wanted = longest >= self._after
        if self._is_to_ask(now, wanted=wanted):
            self._membership = self._auto_scaling.membership()
            self._asked_at = now
        if self._membership is not None:
            self._set(self._membership, longest, wanted=wanted)

    def _is_to_ask(self, now: float, *, wanted: bool) -> bool:
        """A machine can be attached to another group at any time; only while a call is long that matters."""
        return self._asked_at is None or (wanted and now >= self._asked_at + ASK_AGAIN.total_seconds())

    def _set(self, membership: Membership, longest: timedelta, *, wanted: bool) -> None:
        if wanted == membership.is_protected:
            return
        self._auto_scaling.protect(membership.group, wanted=wanted)
        self._membership = membership._replace(is_protected=wanted)
        longest_ms = round(longest.total_seconds() * 1000)
        log.info("ec2.protected" if wanted else "ec2.unprotected", longest_ms=longest_ms)

    def _note(self, fault: AutoScalingFault, now: float) -> None:
        delay_ms = self._tries.fail(now)
        if self._tries.is_worth_a_line:
            log.warning(
                "ec2.protection_failed",
                error=str(fault),
                error_code=fault.code,
                tries=self._tries.failures,
                delay_ms=delay_ms,
            )


def longest_running(state_directory: Path, now: datetime) -> timedelta:
    """For how long the longest handler call of this machine's workers has been running; nothing for none.

    What a worker has not told anew for a minute does not count: it hangs, or is gone.
    """
    return max(
        (
            now - status.running_since
            for status in read_statuses(state_directory)
            if status.running_since is not None and now - status.at < STALE
        ),
        default=timedelta(),
    )
