"""Tries in a row: when the next one is due, and which failures are worth a line of the log."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from worker.backoff import half_jitter

BASE: Final = timedelta(seconds=1)
MAXIMUM: Final = timedelta(seconds=30)


class Tries:
    """Counts failures in a row; the pauses between tries grow. Times are in monotonic seconds."""

    def __init__(self, chance: Callable[[], float], maximum: timedelta = MAXIMUM) -> None:
        self._chance = chance
        self._maximum = maximum
        self.failures = 0
        self.due_at = 0.0

    def fail(self, now: float) -> int:
        """Note a failure; the pause until the next try, in milliseconds."""
        self.failures += 1
        pause = half_jitter(self.failures, BASE, self._maximum, self._chance())
        self.due_at = now + pause.total_seconds()
        return round(pause.total_seconds() * 1000)

    def succeed(self, due_at: float) -> None:
        """Note a success; when the next one is due."""
        self.failures = 0
        self.due_at = due_at

    @property
    def is_worth_a_line(self) -> bool:
        """Whether to log the last failure: the 1st, 10th, 100th and so on."""
        return str(self.failures).strip("0") == "1"
