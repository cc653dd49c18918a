"""The departure: this machine's workers are stopped in time, while a lifecycle hook waits for them."""

import math
from collections.abc import Callable

import structlog

from config.settings import Ec2
from worker.clock import Clock
from worker.ec2.aside import Aside
from worker.ec2.auto_scaling import AutoScaling
from worker.ec2.errand import Errand
from worker.ec2.hook_keeper import HookKeeper
from worker.ec2.notices import Leaving

log = structlog.get_logger()


class Departure:
    """From the first reason to leave on: the stop command, a second signal when time gets short, the hook.

    `tell` is called when a command has ended: it is time for a `turn` then, as it is when `calls`, aside of
    which Auto Scaling is called, tell of an end. Times are monotonic seconds.
    """

    def __init__(
        self,
        leaving: Leaving,
        settings: Ec2,
        auto_scaling: AutoScaling,
        clock: Clock,
        *,
        tell: Callable[[], None],
        calls: Aside,
    ) -> None:
        self._settings = settings
        self._auto_scaling = auto_scaling
        self._clock = clock
        self._calls = calls
        self._began_at = clock.monotonic()
        self._deadline = self._began_at + settings.drain_limit.total_seconds()
        self._stop = Errand(settings.stop_command, tell, clock)
        self._hurry = Errand(settings.hurry_command, tell, clock)
        self._hurries = False
        self._keeper: HookKeeper | None = None
        self._leaving: Leaving | None = None
        self.is_drained = False
        self.follow(leaving)

    def follow(self, leaving: Leaving) -> None:
        """Heed the reason as it is now: it can become more urgent, or be joined by a hook."""
        if leaving == self._leaving:
            return
        hook_before = None if self._leaving is None else self._leaving.hook_state
        if leaving.hook_state not in {None, hook_before}:
            self._keeper = HookKeeper(self._auto_scaling, self._settings, self._clock)
        self._leaving = leaving
        self._bring_forward(leaving)
        log.warning(
            "ec2.leaving",
            reason=f"{leaving.reason} {leaving.detail}",
            left_ms=round((self._deadline - self._clock.monotonic()) * 1000),
        )

    def turn(self, now: float) -> float:
        """Do what is due, without waiting for it; when the next turn is."""
        wake_at = math.inf if self.is_drained else self._drain(now)
        return min(wake_at, math.inf if self._keeper is None else self._keep_hook(now, self._keeper))

    def _keep_hook(self, now: float, keeper: HookKeeper) -> float:
        if self.is_drained:
            keeper.let_go()
        return self._calls.turn(now, keeper)

    def _bring_forward(self, leaving: Leaving) -> None:
        if leaving.deadline is not None:
            # Seen late, or by a clock that is ahead, a notice may leave nothing; giving back takes its time.
            left = max(leaving.deadline - self._clock.now(), self._settings.release_margin)
            self._deadline = min(self._deadline, self._clock.monotonic() + left.total_seconds())

    def _drain(self, now: float) -> float:
        wake_at = self._stop.turn(now)
        if not self._stop.is_done:
            # Before the end is looked at: also a turn that comes too late tells the workers.
            wake_at = min(wake_at, self._hurry_when_due(now), self._deadline)
        self.is_drained = self._stop.is_done or now >= self._deadline
        if self.is_drained:
            self._log_end(now)
            return now
        return wake_at

    def _hurry_when_due(self, now: float) -> float:
        hurry_at = self._deadline - self._settings.release_margin.total_seconds()
        if now < hurry_at:
            return hurry_at
        if not self._hurries:
            self._hurries = True
            log.warning("ec2.hurried", left_ms=max(0, round((self._deadline - now) * 1000)))
        return self._hurry.turn(now)

    def _log_end(self, now: float) -> None:
        took_ms = round((now - self._began_at) * 1000)
        if self._stop.is_done:
            log.info("ec2.drained", took_ms=took_ms)
        else:
            log.error("ec2.drain_overdue", took_ms=took_ms)
