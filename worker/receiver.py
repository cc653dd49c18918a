"""Receives from one request queue: never more than there is room for, leased from the first moment."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final, NamedTuple

import structlog

from config.points import passed
from worker.backoff import half_jitter
from worker.clock import Clock
from worker.held import Held, Room, charge
from worker.leases import Leases
from worker.pulse import doing
from worker.transports.base import Delivery, Transport, TransportError
from worker.transports.limits import BATCH_COUNT_MAXIMUM

ROOM_LINGER_SECONDS: Final = 0.05
FAILED_BASE: Final = timedelta(seconds=1)
FAILED_MAXIMUM: Final = timedelta(minutes=1)
POLL_GRACE_SECONDS: Final = 60.0
SHARED_POLL: Final = timedelta(seconds=1)
"""Where there are fewer places than queues, one's poll keeps another from being asked."""

POLL_SECONDS_MINIMUM: Final = 0.2
"""A poll of a queue that is empty lasts so long; a server that does not wait would be asked without end."""

log = structlog.get_logger()


class Polling(NamedTuple):
    """How a queue is polled: the lease on what comes, how much at once, the pause when nothing came.

    `priority` is its place among the request queues: 0 is the most urgent.
    """

    lease: timedelta
    fetch_size: int = BATCH_COUNT_MAXIMUM
    sleep: timedelta = timedelta()
    priority: int = 0


class Receiver:
    """Polls one queue from a thread of its own (`run`) and hands over what came, each poll's whole."""

    def __init__(
        self,
        source: Transport,
        polling: Polling,
        room: Room,
        leases: Leases,
        hand_over: Callable[[list[Held]], None],
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        self._source = source
        self._polling = polling
        self._lease = lease = polling.lease
        # A lease counts from before the poll, so the poll must be short beside it.
        self._wait = min(source.wait_maximum, lease / 3)
        self._room = room
        self._leases = leases
        self._hand_over = hand_over
        self._clock = clock
        self._stop = stop
        self._failures = 0

    @property
    def is_away(self) -> bool:
        """Whether the queue could not be asked the last time."""
        return self._failures > 0

    @property
    def queue_name(self) -> str:
        """The queue that it polls."""
        return self._source.name

    def run(self) -> None:
        """Receive until stopped; a queue that is away is asked again after a growing back-off."""
        limit_seconds = self._wait.total_seconds() + POLL_GRACE_SECONDS
        while not self._stop.is_set() and (places := self._reserve()):
            began_at = self._clock.monotonic()
            try:
                with doing("receives", limit_seconds):
                    received = self._receive(places)
            except TransportError as error:
                self._failures += 1
                self._back_off(self._failures, error)
            else:
                self._failures = 0
                if not received:
                    self._pause(self._clock.monotonic() - began_at)

    def _pause(self, polled_seconds: float) -> None:
        """After a poll that brought nothing; one that did not wait as it was told is not repeated at once."""
        seconds = max(self._polling.sleep.total_seconds(), POLL_SECONDS_MINIMUM - polled_seconds)
        if seconds > 0:
            self._stop.wait(seconds)

    def _reserve(self) -> int:
        return self._room.reserve(self._polling.fetch_size, ROOM_LINGER_SECONDS, self._polling.priority)

    def _receive(self, places: int) -> int:
        """Hand over what one poll brings; how much that was."""
        held: list[Held] = []
        try:
            held = self._poll(places)
        finally:
            self._room.fill(places, len(held), self._polling.priority)
        for _ in held:
            passed("after_receive")
        self._hand_over(held)
        return len(held)

    def _poll(self, places: int) -> list[Held]:
        before = self._clock.monotonic()
        wait = min(self._wait, SHARED_POLL) if self._room.is_tight else self._wait
        deliveries = self._source.receive(places, wait, self._lease)
        if self._stop.is_set():
            self._give_back(deliveries)
            return []
        received_at = self._clock.now()
        expires_at = before + self._lease.total_seconds()
        started_at = self._clock.monotonic()
        priority = self._polling.priority
        held = [
            Held(one, self._source, received_at, started_at, expires_at, priority=priority)
            for one in deliveries
        ]
        charge(held)
        self._leases.keep(held)
        return held

    def _give_back(self, deliveries: list[Delivery]) -> None:
        """What a late poll still brings after the stop goes back at once."""
        if deliveries:
            self._source.release([(delivery, timedelta()) for delivery in deliveries])
            log.info("receive.given_back", queue=self._source.name, count=len(deliveries))

    def _back_off(self, failures: int, error: TransportError) -> None:
        delay = half_jitter(failures, FAILED_BASE, FAILED_MAXIMUM, self._clock.random())
        if not self._stop.is_set():
            log.error(
                "receive.failed",
                queue=self._source.name,
                error=str(error),
                tries=failures,
                delay_ms=round(delay.total_seconds() * 1000),
            )
        self._stop.wait(delay.total_seconds())
