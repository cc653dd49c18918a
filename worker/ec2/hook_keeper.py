"""The lifecycle hook of a machine that leaves: kept alive while it drains, completed when that is over."""

import math
from datetime import timedelta
from typing import Final

import structlog

from config.settings import Ec2
from worker.clock import Clock
from worker.ec2.auto_scaling import AutoScaling, AutoScalingFault, Hook
from worker.ec2.tries import Tries

SHORTEST_TIMEOUT: Final = timedelta(seconds=30)
HEARTBEATS_PER_TIMEOUT: Final = 3
REFUSAL_PATIENCE_SECONDS: Final = 300.0

log = structlog.get_logger()


class HookKeeper:
    """One lifecycle action: finds its hook, records heartbeats, completes it, each again until it is done.

    A chore that makes one call in each turn. Only refusals of the completion are not tried for ever: when
    Auto Scaling has said for five minutes that nothing waits, then nothing does. Not at once, for the
    metadata tell of the end before the wait begins.
    """

    def __init__(self, auto_scaling: AutoScaling, settings: Ec2, clock: Clock) -> None:
        self._auto_scaling = auto_scaling
        self._settings = settings
        self._clock = clock
        self._tries = Tries(clock.random)
        self._hook: Hook | None = None
        self._may_complete = False
        self._completes = False
        self._refused_since: float | None = None
        self.is_settled = False

    def let_go(self) -> None:
        """The drain is over: the next turn is due at once, and completes the action."""
        self._may_complete = True

    @property
    def due_at(self) -> float:
        """When the next turn is due; infinite when nothing is left to do."""
        if self.is_settled:
            return math.inf
        return -math.inf if self._may_complete and not self._completes else self._tries.due_at

    def turn(self, now: float) -> None:
        """Make the call that is due."""
        if self._may_complete and not self._completes:
            self._completes = True
            self._tries = Tries(self._clock.random)
        try:
            self._call(now)
        except AutoScalingFault as fault:
            self._note(fault, now)

    def _call(self, now: float) -> None:
        if self._hook is None:
            self._hook = find_hook(self._auto_scaling, self._settings)
            self.is_settled = self._hook is None
            self._tries.succeed(now)
        elif self._completes:
            self._auto_scaling.complete(self._hook)
            self.is_settled = True
            log.info("ec2.hook_completed", group=self._hook.group, hook=self._hook.name)
        else:
            self._auto_scaling.record_heartbeat(self._hook)
            log.info("ec2.heartbeat", group=self._hook.group, hook=self._hook.name)
            self._tries.succeed(now + self._hook.heartbeat_timeout.total_seconds() / HEARTBEATS_PER_TIMEOUT)

    def _note(self, fault: AutoScalingFault, now: float) -> None:
        delay_ms = self._tries.fail(now)
        self.is_settled = self._is_refused_for_good(fault, now)
        if self.is_settled or self._tries.is_worth_a_line:
            level = log.warning if fault.is_refusal else log.error
            level(
                "ec2.hook_failed",
                hook=self._hook.name if self._hook else self._settings.hook,
                error=str(fault),
                error_code=fault.code,
                tries=self._tries.failures,
                delay_ms=None if self.is_settled else delay_ms,
            )

    def _is_refused_for_good(self, fault: AutoScalingFault, now: float) -> bool:
        if not self._completes or self._hook is None or not fault.is_refusal:
            self._refused_since = None
            return False
        self._refused_since = now if self._refused_since is None else self._refused_since
        return now - self._refused_since >= REFUSAL_PATIENCE_SECONDS


def find_hook(auto_scaling: AutoScaling, settings: Ec2) -> Hook | None:
    """The hook that waits for this machine's drain: the configured one, else the group's only one.

    None where the group has none, or the machine no group.

    Raises:
        AutoScalingFault: it cannot be asked for, or there are several and none is configured. Where group
            and hook are both configured, not being allowed to ask is no fault: the shortest heartbeat
            timeout is taken for the hook's.
    """
    try:
        group = settings.group or _group(auto_scaling)
        return None if group is None else _choose(auto_scaling.hooks(group), settings.hook)
    except AutoScalingFault:
        if settings.group is None or settings.hook is None:
            raise
        return Hook(settings.group, settings.hook, SHORTEST_TIMEOUT)


def _group(auto_scaling: AutoScaling) -> str | None:
    membership = auto_scaling.membership()
    return None if membership is None else membership.group


def _choose(hooks: list[Hook], name: str | None) -> Hook | None:
    chosen = [hook for hook in hooks if name in {None, hook.name}]
    if len(chosen) > 1:
        names = ", ".join(hook.name for hook in chosen)
        raise AutoScalingFault(
            "several_hooks",
            f"the group has several hooks for machines that leave ({names}): name the workers' in [ec2] hook",
        )
    return chosen[0] if chosen else None
