"""Work aside: what may take long runs on a thread of its own, so that nothing else waits for it."""

import math
import threading
from collections.abc import Callable
from typing import Protocol


class Chore(Protocol):
    """Something that takes turns, each of which may take long. `due_at` is when the next one is due."""

    @property
    def due_at(self) -> float:
        """In monotonic seconds; infinite when nothing is left to do."""

    def turn(self, now: float) -> None:
        """Do what is due."""


class Aside:
    """Does one turn of one chore at a time, on a thread of its own.

    `tell` is called from there when the turn has ended: it is time to ask again. An error of the chore's is
    raised to whoever asks next.
    """

    def __init__(
        self,
        name: str,
        tell: Callable[[], None],
        start: Callable[[threading.Thread], None] = threading.Thread.start,
    ) -> None:
        self._name = name
        self._tell = tell
        self._start = start
        self._thread: threading.Thread | None = None
        self._is_busy = False
        self._error: BaseException | None = None

    def turn(self, now: float, chore: Chore) -> float:
        """Begin the chore's turn if it is due; when to ask again, infinite while any turn goes on."""
        if self._error is not None:
            raise self._error
        if self._is_busy:
            return math.inf
        if now < chore.due_at:
            return chore.due_at
        self._is_busy = True
        self._thread = threading.Thread(target=self._do, args=(now, chore), name=self._name, daemon=True)
        self._start(self._thread)
        return math.inf if self._is_busy else now

    def wait(self, patience_seconds: float) -> None:
        """Let a turn that goes on end, for so long at most."""
        if self._thread is not None and self._is_busy:
            self._thread.join(patience_seconds)

    def _do(self, now: float, chore: Chore) -> None:
        """`_is_busy` falls last, when the rest is set."""
        try:
            chore.turn(now)
        except BaseException as error:  # noqa: BLE001 - raised to whoever asks next
            self._error = error
        self._is_busy = False
        self._tell()
