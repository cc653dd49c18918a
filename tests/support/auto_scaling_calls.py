"""Auto Scaling without a network: notes each call, and fails as the test says."""

import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from worker.ec2.auto_scaling import AutoScaling, AutoScalingFault, Hook, Membership

PATIENCE_SECONDS: Final = 60
OURS: Final = Hook("workers", "drain", timedelta(minutes=15))


@dataclass
class Calls(AutoScaling):
    """`made` are the calls, in order; `faults` the codes with which the next calls of a kind fail.

    While `answers` is not set, calls wait for that.
    """

    found: list[Hook] = field(default_factory=lambda: [OURS])
    group: str | None = "workers"
    is_protected: bool = False
    faults: dict[str, list[str]] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    answers: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """As a rule they are answered."""
        self.answers.set()

    def membership(self) -> Membership | None:
        """As the test says."""
        self._note("membership")
        return None if self.group is None else Membership(self.group, self.is_protected)

    def hooks(self, group: str) -> list[Hook]:
        """As the test says."""
        self._note(f"hooks {group}")
        return self.found

    def record_heartbeat(self, hook: Hook) -> None:
        """Noted."""
        self._note(f"heartbeat {hook.name}")

    def complete(self, hook: Hook) -> None:
        """Noted."""
        self._note(f"complete {hook.name}")

    def protect(self, group: str, *, wanted: bool) -> None:
        """Noted, and so from then on."""
        self._note(f"{'protect' if wanted else 'unprotect'} {group}")
        self.is_protected = wanted

    def _note(self, call: str) -> None:
        self.made.append(call)
        assert self.answers.wait(PATIENCE_SECONDS), f"nobody let {call} be answered"
        faults = self.faults.get(call.split(maxsplit=1)[0])
        if faults:
            code = faults.pop(0)
            raise AutoScalingFault(code, f"a fault of the test's: {code}")
