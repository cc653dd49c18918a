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

    def wait(self, next_event: Callable[[float], str | None], until: float) -> str | None:
        """Do what is due until an event comes; the event, or None at the moment `until`.

        `next_event` waits for one, for so many seconds at most, and gives None when none came.
        """
        while (now := self._clock()) < until:
            event = next_event(min(self.do_due(), until) - now)
            if event is not None:
                return event
        return None
