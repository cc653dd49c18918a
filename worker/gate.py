"""The gate between parts that share the process and a part that may kill it, which runs alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from worker.pulse import waiting


class Gate:
    """Many may pass together, or one alone. One that waits to be alone lets nobody else start meanwhile."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside = 0
        self._alone_wanted = 0
        self._alone = False

    @contextmanager
    def together(self) -> Iterator[None]:
        """Pass with others."""
        with waiting("waits for a part that runs alone"), self._condition:
            self._condition.wait_for(lambda: not self._alone and not self._alone_wanted)
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                self._condition.notify_all()

    @contextmanager
    def alone(self, patience_seconds: float) -> Iterator[bool]:
        """Pass when everybody else is out, and keep them out; False when they stayed longer than that."""
        entered = self._enter_alone(patience_seconds)
        try:
            yield entered
        finally:
            if entered:
                with self._condition:
                    self._alone = False
                    self._condition.notify_all()

    def _enter_alone(self, patience_seconds: float) -> bool:
        with self._condition:
            self._alone_wanted += 1
            entered = self._condition.wait_for(self._is_empty, patience_seconds)
            self._alone_wanted -= 1
            self._alone = self._alone or entered
            self._condition.notify_all()
            return entered

    def _is_empty(self) -> bool:
        return not self._alone and not self._inside
