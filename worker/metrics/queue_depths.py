"""How long the queues are: asked seldom, by a thread of its own, and remembered for whoever wants to know."""

import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, NamedTuple

from worker.pulse import doing
from worker.transports.base import Depth, Transport, TransportError

ASKING_SECONDS_MAXIMUM: Final = 300.0


class Place(NamedTuple):
    """A queue by its name, and what it is for: `request`, `response` or `failure`."""

    queue: str
    role: str


class QueueDepths:
    """Asks each queue every `interval` from a thread of its own (`run`).

    A queue that does not answer has no depth until it does: that it is away is told elsewhere.
    """

    def __init__(self, queues: Mapping[Place, Transport], interval: timedelta, stop: threading.Event) -> None:
        self._queues = queues
        self._interval = interval
        self._stop = stop
        self.latest: Mapping[Place, Depth] = {}

    def run(self) -> None:
        """Ask again and again, until the process leaves."""
        self.ask()
        while not self._stop.wait(self._interval.total_seconds()):
            self.ask()

    def ask(self) -> None:
        """Ask each queue once."""
        found: dict[Place, Depth] = {}
        with doing("asks how long the queues are", ASKING_SECONDS_MAXIMUM):
            for place, queue in self._queues.items():
                try:
                    found[place] = queue.depth()
                except TransportError:
                    continue
        self.latest = found
