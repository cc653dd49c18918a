"""One pass over the failure queue: each message held under a lease, and given back unless it was settled."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

from config.settings import Settings
from worker.cli.common import HELD_MAXIMUM
from worker.cli.failed_choice import Choice
from worker.cli.failed_messages import FailedMessage, read_failed
from worker.clock import Clock
from worker.transports.base import Delivery, Faults, Transport

LEASE: Final = timedelta(minutes=2)
LAST_LOOK: Final = timedelta(seconds=1)
"""How long an empty queue is waited at: a long poll asks all of SQS's servers, a short one only some."""

SEARCHED_MAXIMUM: Final = HELD_MAXIMUM
"""How many messages are held at most: SQS lets a queue have 120,000 in flight, and others work there too."""


class Taking:
    """Receives what waits on a queue, each message once, in batches; as a context it gives the rest back.

    A queue can only be received from: to find one message, the others are taken too, and held while the
    search goes on. What is settled is deleted; a process that is killed leaves everything else where it was,
    out of sight for `LEASE` at most.
    """

    def __init__(self, queue: Transport, clock: Clock, last_look: timedelta = LAST_LOOK) -> None:
        self._queue = queue
        self.clock = clock
        self._last_look = last_look
        self._held: dict[str, Delivery] = {}
        self._settled: set[str] = set()
        self._renewed_at = clock.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.release([(delivery, timedelta()) for delivery in self._held.values()])

    @property
    def is_exhausted(self) -> bool:
        """Whether so many messages were looked at that no more are taken."""
        return len(self._held) >= SEARCHED_MAXIMUM

    def batches(self, size: int) -> Iterator[list[Delivery]]:
        """What waits on the queue, up to `size` (at most ten) at a time, until nothing new comes."""
        while not self.is_exhausted:
            self._renew()
            received = self._queue.receive(size, self._last_look, LEASE)
            if not received:
                return
            if new := self._keep(received):
                yield new

    def settle(self, deliveries: Sequence[Delivery]) -> Faults:
        """Delete these messages; what has a fault stays on the queue."""
        faults = self._queue.ack(deliveries)
        for position, delivery in enumerate(deliveries):
            if position not in faults:
                self._held.pop(delivery.message_id, None)
                self._settled.add(delivery.message_id)
        return faults

    def pause(self, seconds: float) -> None:
        """Let time pass, and hold what is held."""
        left = seconds
        while left > 0:
            step = min(left, LEASE.total_seconds() / 4)
            self.clock.sleep(step)
            left -= step
            self._renew()

    def _keep(self, received: list[Delivery]) -> list[Delivery]:
        """Hold what came; those that came for the first time. A standard queue can bring a message twice."""
        again = [delivery for delivery in received if delivery.message_id in self._settled]
        if again:
            self._queue.ack(again)
        kept = [delivery for delivery in received if delivery.message_id not in self._settled]
        new = [delivery for delivery in kept if delivery.message_id not in self._held]
        # Their receipts are all that giving them back takes: a long queue must fit into memory.
        self._held.update((one.message_id, replace(one, body="", attributes={})) for one in kept)
        return new

    def _renew(self) -> None:
        now = self.clock.monotonic()
        if now - self._renewed_at >= LEASE.total_seconds() / 4:
            self._queue.extend(list(self._held.values()), LEASE)
            self._renewed_at = now


class Search:
    """Goes through the failure queue for the messages of a choice, and knows which ids it has not met."""

    def __init__(self, settings: Settings, taking: Taking, choice: Choice) -> None:
        self._settings = settings
        self._taking = taking
        self._choice = choice
        self._found: set[str] = set()

    def batches(self, size: int = 10) -> Iterator[list[FailedMessage]]:
        """The chosen messages, in batches; no further than needed."""
        for deliveries in self._taking.batches(size):
            read = (read_failed(self._settings, delivery) for delivery in deliveries)
            now = self._taking.clock.now()
            found = [message for message in read if self._choice.takes(message, now)][: self._left()]
            self._found.update(message.message_id for message in found)
            if found:
                yield found
            if self._is_complete():
                return

    @property
    def is_cut_short(self) -> bool:
        """Whether there may be more, beyond what one pass looks at."""
        return self._taking.is_exhausted and not self._is_complete()

    def missing(self) -> list[str]:
        """The ids that were asked for and not met, in order."""
        return sorted(set(self._choice.ids) - self._found)

    def _left(self) -> int | None:
        return None if self._choice.maximum is None else self._choice.maximum - len(self._found)

    def _is_complete(self) -> bool:
        return self._left() == 0 or (bool(self._choice.ids) and not self.missing())
