"""Scale-in protection of the machine, for as long as one of its workers runs a long handler call."""

import math
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
RETRY_MAXIMUM: Final = timedelta(minutes=5)

log = structlog.get_logger()


class Protection:
    """Protects the machine while a handler call runs for `after` or longer; else it can be chosen again.

    Two calls for each time that any does, none while none does. Where a protection was there before,
    it is taken for one that an earlier watcher has left. What cannot be set is tried again.
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
        self._has_group = True

    def turn(self, now: float) -> float:
        """Look, and set what has changed; when the next turn is."""
        if self._has_group and now >= self._tries.due_at:
            try:
                self._look()
                self._tries.succeed(now + self._interval_seconds)
            except AutoScalingFault as fault:
                self._note(fault, now)
        return self._tries.due_at if self._has_group else math.inf

    def _look(self) -> None:
        if self._membership is None:
            self._membership = self._auto_scaling.membership()
            self._has_group = self._membership is not None
        if self._membership is not None:
            longest = self._longest()
            self._set(self._membership, longest, wanted=longest >= self._after)

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
