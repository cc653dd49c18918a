"""The prepare threads: between receipt and the lanes, so that no lane ever waits for S3 or the directory."""

import threading
from collections import deque
from collections.abc import Callable, Collection
from typing import Final

from worker.conclusion import Conclusion, Return
from worker.facts import Facts
from worker.held import Held
from worker.job_in_hand import shutdown_deferral
from worker.occupancy import Occupancy
from worker.pulse import doing

STILL_SECONDS_MAXIMUM: Final = 300.0
"""How long preparing may take; attachments that come in are progress."""


class Preparer:
    """Hands each delivery to `take`, on as many threads as call `run`, which are `threads`; thread-safe.

    The more urgent go first, each priority's own first in, first out. Some threads are kept for more urgent
    deliveries, as `Occupancy` says: the large attachments of others must not occupy all of them.

    Once `stop` is set, what was received goes back at once by `settle` instead.
    """

    def __init__(
        self,
        take: Callable[[Held], None],
        settle: Callable[[list[Held], Conclusion, Facts], None],
        stop: threading.Event,
        threads: int,
    ) -> None:
        self._take = take
        self._settle = settle
        self._stop = stop
        self._threads = threads
        self._condition = threading.Condition()
        self._received: dict[int, deque[Held]] = {}
        self._occupancy = Occupancy()
        self._closed = False

    def put(self, received: Collection[Held]) -> None:
        """Add deliveries; never waits."""
        with self._condition:
            for held in received:
                self._received.setdefault(held.priority, deque()).append(held)
            self._condition.notify(len(received))

    def run(self) -> None:
        """Take in what was received, until closed."""
        while (held := self._next()) is not None:
            try:
                self._prepare(held)
            finally:
                self._ended(held)

    def hurry(self) -> None:
        """The stop is set: let every thread give back what waits, kept for others or not."""
        with self._condition:
            self._condition.notify_all()

    def close(self) -> None:
        """Let `run` return on each thread when all is taken in."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def _prepare(self, held: Held) -> None:
        if self._stop.is_set():
            deferral = shutdown_deferral()
            self._settle([held], Return(deferral.after, deferral.code), Facts())
            return
        with doing("prepares", STILL_SECONDS_MAXIMUM):
            self._take(held)

    def _next(self) -> Held | None:
        """The most urgent delivery that may be prepared; None when closed and empty."""
        with self._condition:
            while (priority := self._next_priority()) is None:
                if self._closed and not self._received:
                    return None
                self._condition.wait()
            waiting = self._received[priority]
            held = waiting.popleft()
            if not waiting:
                del self._received[priority]
            self._occupancy.enter(priority)
            return held

    def _next_priority(self) -> int | None:
        priority = min(self._received, default=None)
        if priority is None or self._stop.is_set() or self._closed:
            return priority
        return priority if self._occupancy.lets_in(priority, self._threads) else None

    def _ended(self, held: Held) -> None:
        with self._condition:
            self._occupancy.leave(held.priority)
            if self._received:
                self._condition.notify()
            elif self._closed:
                self._condition.notify_all()
