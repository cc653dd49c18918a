"""Duties: what the main thread does again and again while it waits for a reason to leave."""

from collections.abc import Callable, Iterable
from datetime import timedelta


class Duties:
    """Actions, each with its interval; the first time is one interval after the start.

    An action that was kept from its turn is done once, not as often as it was missed.
    """

    def __init__(
        self, duties: Iterable[tuple[timedelta, Callable[[], None]]], clock: Callable[[], float]
    ) -> None:
        self._clock = clock
        now = clock()
        self._duties = [(interval.total_seconds(), action) for interval, action in duties]
        self._due = [now + interval_seconds for interval_seconds, _ in self._duties]

    def do_due(self) -> float:
        """Do what is due; the moment, by the clock, of the next that is."""
        for position, (interval_seconds, action) in enumerate(self._duties):
            now = self._clock()
            if now >= self._due[position]:
                action()
                self._due[position] = now + interval_seconds
        return min(self._due)
