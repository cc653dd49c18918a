"""The breaker: whether a shard or a server may be asked now, judged by how the last questions ended."""

from collections.abc import Callable
from typing import Final

FAILURES_IN_A_ROW: Final = 2  # one alone may be a pooled connection that was cut while it was idle


class Breaker:
    """Closed, it lets questions through; open, one probe at a time after each cool-down.

    It opens after `threshold` failures in a row, and closes when a probe is answered: then it lets in one
    question at a time, and twice as many after each answer, up to `limit`. What began before it opened tells
    nothing new while it is open. `cool_down` gives the seconds to wait before the next probe, by how many
    questions in a row were in vain since it opened, from 1 on.

    Times are monotonic seconds. Not thread-safe: its owner holds a lock, and never during a question.
    """

    def __init__(
        self, limit: int, cool_down: Callable[[int], float], threshold: int = FAILURES_IN_A_ROW
    ) -> None:
        self._limit = limit
        self._cool_down = cool_down
        self._threshold = threshold
        self._allowance = limit
        self._failures = 0
        self._probing = False
        self.opened_at: float | None = None
        self.probe_at = 0.0
        self.tries = 0

    def resize(self, limit: int) -> None:
        """Let in up to so many questions at once from now on; where that is more, few at first."""
        self._limit = limit
        self._allowance = min(self._allowance, limit)

    @property
    def is_open(self) -> bool:
        """Whether it lets nothing through but probes."""
        return self.opened_at is not None

    def probe_is_due(self, now: float) -> bool:
        """Whether it is open, its cool-down is over and no probe is under way."""
        return self.is_open and not self._probing and now >= self.probe_at

    def permits(self, running: int, now: float) -> bool:
        """Whether one more question may begin beside those that run."""
        if self.is_open:
            return running < self._limit and self.probe_is_due(now)
        return running < self._allowance

    def seconds_to_probe(self, running: int, now: float) -> float | None:
        """How long until a probe may begin by time alone; None where it is for no time to tell."""
        if not self.is_open or self._probing or running >= self._limit:
            return None
        return max(0.0, self.probe_at - now)

    def begin(self) -> bool:
        """A question begins; whether it is the probe, which is to be said when it ends."""
        self._probing = self.is_open
        return self._probing

    def fail(self, now: float, *, probe: bool) -> bool:
        """A question was not answered; whether the breaker opened by that."""
        if self.is_open:
            if probe:
                self._wait(now)
            return False
        self._failures += 1
        if self._failures < self._threshold:
            return False
        self.opened_at = now
        self._wait(now)
        return True

    def succeed(self, *, probe: bool) -> bool:
        """A question was answered; whether the breaker closed by that."""
        if self.is_open:
            return self._close() if probe else False
        self._failures = 0
        self._allowance = min(self._allowance * 2, self._limit)
        return False

    def withdraw(self, *, probe: bool) -> None:
        """A question ended without having been asked: where it was the probe, another may be at once."""
        if probe:
            self._probing = False

    def _wait(self, now: float) -> None:
        self._probing = False
        self.tries += 1
        self.probe_at = now + self._cool_down(self.tries)

    def _close(self) -> bool:
        self.opened_at, self.tries, self._failures = None, 0, 0
        self._probing = False
        self._allowance = 1
        return True
