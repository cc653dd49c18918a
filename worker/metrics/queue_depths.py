"""How long the queues are: asked seldom, by a thread of its own, and remembered for whoever wants to know."""

import threading
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, NamedTuple

import structlog

from worker.pulse import doing
from worker.transports.base import Depth, Transport, TransportError

ASKING_SECONDS_MAXIMUM: Final = 300.0

log = structlog.get_logger()


class Place(NamedTuple):
    """A queue by its name, and what it is for: `request`, `response` or `failure`."""

    queue: str
    role: str


class QueueDepths:
    """Asks each queue every `interval` from a thread of its own (`run`).

    A queue that does not answer has no depth until it does: that it is away is told elsewhere. An error that
    nobody expects keeps no other queue from being asked; it is logged the 1st, 10th, 100th time in a row.
    """

    def __init__(self, queues: Mapping[Place, Transport], interval: timedelta, stop: threading.Event) -> None:
        self._queues = queues
        self._interval = interval
        self._stop = stop
        self._errors: Counter[Place] = Counter()
        self.latest: Mapping[Place, Depth] = {}

    def run(self) -> None:
        """Ask again and again, until the process leaves."""
        self.ask()
        while not self._stop.wait(self._interval.total_seconds()):
            self.ask()

    def ask(self) -> None:
        """Ask each queue once; what one says is known before the next is asked."""
        for place, queue in self._queues.items():
            if self._stop.is_set():
                return
            with doing("asks how long a queue is", ASKING_SECONDS_MAXIMUM):
                depth = self._depth_of(place, queue)
            others = {other: known for other, known in self.latest.items() if other != place}
            self.latest = others if depth is None else {**others, place: depth}

    def _depth_of(self, place: Place, queue: Transport) -> Depth | None:
        try:
            depth = queue.depth()
        except TransportError:
            return None
        except Exception as error:
            self._errors[place] += 1
            if str(self._errors[place]).strip("0") == "1":
                log.warning("worker.metrics_failed", queue=place.queue, exc_info=error)
            return None
        self._errors.pop(place, None)
        return depth
