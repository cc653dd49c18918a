"""The gate between parts that share the process and a part that may kill it, which runs alone."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from worker.pulse import waiting

ALONE_PATIENCE_SECONDS: Final = 10.0
"""How long a part waits for those that run to end, so that it can run alone."""


class Gate:
    """Many may pass together, or one alone. One that waits to be alone lets nobody else start meanwhile.

    Whoever passes is known by its thread; a thread that does not come back is put out by `leave`.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside: Counter[int] = Counter()
        self._alone_wanted = 0
        self._alone: int | None = None

    @contextmanager
    def together(self) -> Iterator[None]:
        """Pass with others."""
        with self._condition:
            if not self._lets_in():
                with waiting("waits for a part that runs alone"):
                    self._condition.wait_for(self._lets_in)
            self._inside[threading.get_ident()] += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= Counter((threading.get_ident(),))
                self._condition.notify_all()

    @contextmanager
    def alone(self, patience_seconds: float) -> Iterator[bool]:
        """Pass when everybody else is out, and keep them out; False when they stayed longer than that."""
        entered = self._enter_alone(patience_seconds)
        try:
            yield entered
        finally:
            if entered:
                self.leave(threading.get_ident())

    def leave(self, thread: int) -> None:
        """The thread of this number is out, whether it comes back or not."""
        with self._condition:
            self._inside.pop(thread, None)
            if self._alone == thread:
                self._alone = None
            self._condition.notify_all()

    def _enter_alone(self, patience_seconds: float) -> bool:
        with self._condition:
            self._alone_wanted += 1
            entered = self._condition.wait_for(self._is_empty, patience_seconds)
            self._alone_wanted -= 1
            if entered:
                self._alone = threading.get_ident()
            self._condition.notify_all()
            return entered

    def _lets_in(self) -> bool:
        return self._alone is None and not self._alone_wanted

    def _is_empty(self) -> bool:
        return self._alone is None and not self._inside
