"""How often a queue that cannot wake us is looked at while a receive waits."""

from collections.abc import Iterator
from datetime import timedelta
from threading import Event
from typing import Final, Protocol

SHORTEST_PAUSE_SECONDS: Final = 0.02
LONGEST_PAUSE_SECONDS: Final = 0.2
GROWTH: Final = 1.1


class Pause(Protocol):
    """Waits until the event is set or the seconds are over; whether it was set. `Event.wait` is one."""

    def __call__(self, event: Event, seconds: float, /) -> bool:
        """Wait for `event`, at most `seconds`."""
        ...


def pauses(wait: timedelta) -> Iterator[float]:
    """The pauses in seconds between looks: short at first, then longer, together exactly `wait`.

    Each receive begins with short ones, so a busy queue is looked at often and an idle one seldom.
    """
    left = wait.total_seconds()
    pause = SHORTEST_PAUSE_SECONDS
    while left > 0:
        yield min(pause, left)
        left -= pause
        pause = min(pause * GROWTH, LONGEST_PAUSE_SECONDS)
