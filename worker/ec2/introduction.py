"""The introduction: what the watcher says first, of the machine and of the hook that it will complete."""

import math

import structlog

from config.settings import Ec2
from worker.ec2.auto_scaling import AutoScaling, AutoScalingFault, Hook
from worker.ec2.hook_keeper import find_hook

log = structlog.get_logger()


class Introduction:
    """A chore for once. What would go wrong at the end is told now, when there is time to mend it.

    `lifecycle_state` is what the group aims at; without one there is no group, and nothing to ask for.
    """

    def __init__(
        self, instance_id: str, lifecycle_state: str | None, settings: Ec2, auto_scaling: AutoScaling
    ) -> None:
        self._instance_id = instance_id
        self._state = lifecycle_state
        self._settings = settings
        self._auto_scaling = auto_scaling
        self._is_due = True

    @property
    def due_at(self) -> float:
        """At once, and then never again."""
        return -math.inf if self._is_due else math.inf

    def turn(self, _now: float) -> None:
        """Find the hook, and say what is watched."""
        self._is_due = False
        hook = None if self._state is None else self._find()
        log.info(
            "ec2.watching",
            instance=self._instance_id,
            lifecycle_state=self._state,
            group=hook.group if hook else self._settings.group,
            hook=hook.name if hook else None,
        )

    def _find(self) -> Hook | None:
        try:
            hook = find_hook(self._auto_scaling, self._settings)
        except AutoScalingFault as fault:
            name = self._settings.hook
            log.error("ec2.hook_failed", hook=name, error=str(fault), error_code=fault.code)
            return None
        if hook is None:
            log.warning("ec2.no_hook")
        return hook
