"""The prepare threads: between receipt and the lanes, so that no lane ever waits for S3 or the directory."""

import queue
import threading
from collections.abc import Callable
from typing import Final

from worker.conclusion import Conclusion, Return
from worker.facts import Facts
from worker.held import Held
from worker.job_in_hand import shutdown_deferral
from worker.pulse import doing

STILL_SECONDS_MAXIMUM: Final = 300.0
"""How long preparing may take; attachments that come in are progress."""


class Preparer:
    """Hands each delivery to `take`, on as many threads as call `run`; thread-safe.

    Once `stop` is set, what was received goes back at once by `settle` instead.
    """

    def __init__(
        self,
        take: Callable[[Held], None],
        settle: Callable[[list[Held], Conclusion, Facts], None],
        stop: threading.Event,
    ) -> None:
        self._take = take
        self._settle = settle
        self._stop = stop
        self._received: queue.SimpleQueue[Held | None] = queue.SimpleQueue()

    def put(self, held: Held) -> None:
        """Add a delivery; never waits."""
        self._received.put(held)

    def run(self) -> None:
        """Take in what was received, until closed."""
        while (held := self._received.get()) is not None:
            if self._stop.is_set():
                deferral = shutdown_deferral()
                self._settle([held], Return(deferral.after, deferral.code), Facts())
                continue
            with doing("prepares", STILL_SECONDS_MAXIMUM):
                self._take(held)

    def close(self, threads: int) -> None:
        """Let `run` return on so many threads, when all is taken in."""
        for _ in range(threads):
            self._received.put(None)
