"""Time limits: a handler that takes longer than its job type may is ended, or else its thread is given up."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final

from shards.guard import OutOfTime, PartConnection
from shards.interruption import Interrupter
from worker.pulse import doing, move

LOOK_SECONDS: Final = 1.0
TURN_SECONDS_MAXIMUM: Final = 120.0

GiveUp = Callable[[int], None]
"""Told the number of a thread that does not come back."""


class TimeLimits:
    """Ends handlers whose time is up; thread-safe, `run` has a thread of its own.

    Then the statement that runs is cancelled, again every second, and whatever the handler makes of that, its
    transaction is rolled back: `OutOfTime`. A thread that does not come back within the grace after that is
    given up: its connection is cut, so that the server rolls back, and `give_up` is told the thread's number.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._running: set[Limited] = set()
        self._stopped = threading.Event()

    def within(self, seconds: float, grace_seconds: float, connection: PartConnection) -> "Limited":
        """A `with` block for a handler's work on this connection, by the thread that does it.

        The block raises `OutOfTime` when it took longer than `seconds`, and the connection is closed then.
        """
        deadline = self._clock() + seconds
        return Limited(self, deadline, deadline + grace_seconds, connection)

    def run(self, give_up: GiveUp) -> None:
        """Look every second until stopped."""
        while not self._stopped.wait(LOOK_SECONDS):
            with doing("looks after handlers' time", TURN_SECONDS_MAXIMUM):
                self.look(give_up)

    def stop(self) -> None:
        """Let `run` return."""
        self._stopped.set()

    def look(self, give_up: GiveUp) -> None:
        """Do what is due now."""
        now = self._clock()
        with self._lock:
            late = [limited for limited in self._running if now >= limited.deadline]
        for limited in late:
            if now < limited.given_up_at:
                limited.cancel()
            else:
                limited.give_up(give_up)
            move()

    def begin(self, limited: "Limited") -> None:
        """The block is entered."""
        with self._lock:
            self._running.add(limited)

    def end(self, limited: "Limited") -> None:
        """The block is left."""
        with self._lock:
            self._running.discard(limited)


class Limited:
    """One handler's work while it runs; made by `TimeLimits.within`."""

    def __init__(
        self, limits: TimeLimits, deadline: float, given_up_at: float, connection: PartConnection
    ) -> None:
        self.deadline = deadline
        self.given_up_at = given_up_at
        self.thread = threading.get_ident()
        self._limits = limits
        self._connection = connection
        self._interrupter = Interrupter(connection)
        # held while the connection is interrupted, so that it is nobody else's by then
        self._lock = threading.Lock()
        self._is_over = False
        self._is_late = False

    def cancel(self) -> None:
        """Cancel the statement that runs; from now on the work is late, however it ends."""
        with self._lock:
            if not self._is_over:
                self._is_late = True
                self._interrupter.cancel()

    def give_up(self, tell: GiveUp) -> None:
        """Cut the connection and tell of the thread, unless the work is over; the thread waits meanwhile."""
        self._limits.end(self)
        with self._lock:
            if not self._is_over:
                self._is_late = True
                self._interrupter.cancel()
                self._interrupter.cut()
                tell(self.thread)

    def __enter__(self) -> None:
        self._limits.begin(self)

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._limits.end(self)
        with self._lock:
            self._is_over = True
            self._interrupter.uncut()
        if self._is_late:
            # a cancellation that is still on its way must not meet another part's statement
            self._connection.invalidate()
            raise OutOfTime from error
