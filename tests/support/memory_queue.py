"""A queue in memory that keeps the transports' contract, with a journal and faults on demand."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

from tests.support.queue_backends import Backend, ShiftedClock
from worker.transports.base import (
    Delivery,
    Depth,
    Fault,
    Faults,
    Message,
    QueueMissing,
    Transport,
    TransportError,
)
from worker.transports.limits import BATCH_COUNT_MAXIMUM, MESSAGE_BYTES_MAXIMUM, WAIT_MAXIMUM, message_fault

LOST = Fault("LeaseLost", "the lease ran out", lost=True)
REFUSED = Fault("Refused", "it never helps", final=True)
THROTTLED = Fault("Throttled", "later, perhaps")

Entry = TypeVar("Entry")
Interfere = Callable[[str, Sequence[object]], Faults]


def no_faults(action: str, batch: Sequence[object]) -> Faults:
    """Let the call go through."""
    del action, batch
    return {}


def away(action: str, batch: Sequence[object]) -> Faults:
    """Fail the call as a whole."""
    raise TransportError(f"the queue is away: no {action} of {len(batch)}")


class Deed(NamedTuple):
    """One entry of a batch that a queue accepted: `subject` is a body sent, or the id of a message."""

    queue: str
    action: str
    subject: str


@dataclass
class _Stored:
    message_id: str
    message: Message
    sent_at: float
    visible_at: float
    receive_count: int = 0
    receipt: str | None = None


@dataclass
class MemoryPlace:
    """Where queues in memory live; the `journal` tells in order what they accepted."""

    clock: Callable[[], float] = time.time
    journal: list[Deed] = field(default_factory=list)
    queues: dict[str, dict[str, _Stored]] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def transport(self, name: str) -> "MemoryTransport":
        """A transport for a queue that is created with it."""
        transport = MemoryTransport(self, name)
        transport.create()
        return transport

    def did(self, action: str) -> list[str]:
        """The subjects of one action, in order."""
        return [deed.subject for deed in self.journal if deed.action == action]


class MemoryTransport:
    """One queue in memory. `interfere` is asked before each call: it may raise, or refuse entries.

    A message vanishes when it is older than `kept`.
    """

    is_ordered = False
    message_bytes_maximum = MESSAGE_BYTES_MAXIMUM
    wait_maximum = WAIT_MAXIMUM
    hold_maximum = timedelta(days=365)

    def __init__(self, place: MemoryPlace, name: str) -> None:
        self.name = name
        self.interfere: Interfere = no_faults
        self.kept: timedelta | None = None
        self._place = place
        self._ended = False

    def receive(self, maximum: int, wait: timedelta, lease: timedelta) -> list[Delivery]:
        """As the protocol says."""
        self.interfere("receive", range(maximum))
        deadline = time.monotonic() + wait.total_seconds()
        with self._place.changed:
            while not (self._visible() or self._ended):
                left = deadline - time.monotonic()
                if left <= 0:
                    return []
                self._place.changed.wait(min(left, self._seconds_to_next()))
            taken = [] if self._ended else self._visible()[: min(maximum, BATCH_COUNT_MAXIMUM)]
            return [self._lease(stored, lease) for stored in taken]

    def ack(self, batch: Sequence[Delivery]) -> Faults:
        """As the protocol says; a lease that ran out unnoticed by others still counts."""
        held = self._messages()

        def do(delivery: Delivery) -> Fault | None:
            stored = held.get(delivery.message_id)
            if stored is not None and stored.receipt != delivery.receipt:
                return LOST
            held.pop(delivery.message_id, None)
            return None

        return self._each("ack", batch, do, lambda delivery: delivery.message_id)

    def release(self, batch: Sequence[tuple[Delivery, timedelta]]) -> Faults:
        """As the protocol says."""

        def do(entry: tuple[Delivery, timedelta]) -> Fault | None:
            return self._show_after(entry[0], entry[1])

        return self._each("release", batch, do, lambda entry: entry[0].message_id)

    def extend(self, batch: Sequence[Delivery], lease: timedelta) -> Faults:
        """As the protocol says."""
        return self._each(
            "extend",
            batch,
            lambda delivery: self._show_after(delivery, lease),
            lambda delivery: delivery.message_id,
        )

    def send(self, batch: Sequence[Message]) -> Faults:
        """As the protocol says."""
        checked = {position: message_fault(message) for position, message in enumerate(batch)}
        held = self._messages()
        positions = itertools.count()

        def do(message: Message) -> Fault | None:
            fault = checked[next(positions)]
            if fault is None:
                stored = self._new(message)
                held[stored.message_id] = stored
            return fault

        return self._each("send", batch, do, lambda message: message.body)

    def browse(self, maximum: int) -> list[Delivery]:
        """As the protocol says."""
        with self._place.changed:
            return [_delivery(stored) for stored in self._visible()[:maximum]]

    def depth(self) -> Depth:
        """As the protocol says."""
        self.interfere("depth", ())
        now = self._place.clock()
        hidden = [stored for stored in self._messages().values() if stored.visible_at > now]
        leased = sum(stored.receipt is not None for stored in hidden)
        return Depth(len(self._messages()) - len(hidden), leased, len(hidden) - leased)

    def retention(self) -> timedelta | None:
        """As the protocol says: `kept`."""
        self.interfere("retention", ())
        return self.kept

    def create(self) -> bool:
        """As the protocol says."""
        missing = self.name not in self._place.queues
        self._place.queues.setdefault(self.name, {})
        return missing

    def check(self) -> list[str]:
        """As the protocol says."""
        try:
            self._messages()
        except QueueMissing as error:
            return [str(error)]
        return []

    def interrupt(self) -> None:
        """As the protocol says."""
        with self._place.changed:
            self._ended = True
            self._place.changed.notify_all()

    def close(self) -> None:
        """As the protocol says."""
        self.interrupt()

    def _each(
        self,
        action: str,
        batch: Sequence[Entry],
        do: Callable[[Entry], Fault | None],
        subject: Callable[[Entry], str],
    ) -> Faults:
        faults = dict(self.interfere(action, batch)) if batch else {}
        with self._place.changed:
            for position, entry in enumerate(batch):
                fault = faults.get(position) or do(entry)
                if fault is None:
                    self._place.journal.append(Deed(self.name, action, subject(entry)))
                else:
                    faults[position] = fault
            self._place.changed.notify_all()
        return faults

    def _messages(self) -> dict[str, _Stored]:
        if self.name not in self._place.queues:
            raise QueueMissing(f"queue {self.name}: it does not exist; `shardworker setup` creates it")
        messages = self._place.queues[self.name]
        if self.kept is not None:
            oldest = self._place.clock() - self.kept.total_seconds()
            for message_id in [name for name, stored in messages.items() if stored.sent_at < oldest]:
                del messages[message_id]
        return messages

    def _visible(self) -> list[_Stored]:
        now = self._place.clock()
        return [stored for stored in self._messages().values() if stored.visible_at <= now]

    def _seconds_to_next(self) -> float:
        now = self._place.clock()
        return max(0.0, min((one.visible_at - now for one in self._messages().values()), default=60.0))

    def _lease(self, stored: _Stored, lease: timedelta) -> Delivery:
        stored.receive_count += 1
        stored.receipt = f"receipt-{next(self._place.numbers)}"
        stored.visible_at = self._place.clock() + lease.total_seconds()
        return _delivery(stored)

    def _show_after(self, delivery: Delivery, delay: timedelta) -> Fault | None:
        now = self._place.clock()
        stored = self._messages().get(delivery.message_id)
        if stored is None or stored.receipt != delivery.receipt or stored.visible_at <= now:
            return LOST
        stored.visible_at = now + delay.total_seconds()
        return None

    def _new(self, message: Message) -> _Stored:
        now = self._place.clock()
        number = next(self._place.numbers)
        return _Stored(f"message-{number}", message, now, now + message.delay.total_seconds())


class MemoryBackend(Backend):
    """Queues in memory for the transports' conformance suite."""

    def __init__(self) -> None:
        clock = ShiftedClock()
        super().__init__(lambda queue: queue, clock)
        self._place = MemoryPlace(clock)

    def open(self, queue: str = "requests") -> Transport:
        """A transport of its own for the queue."""
        transport = MemoryTransport(self._place, queue)
        self._opened.append(transport)
        return transport


def memory_backend() -> Backend:
    """Queues in memory, for the conformance suite."""
    return MemoryBackend()


def _delivery(stored: _Stored) -> Delivery:
    message = stored.message
    return Delivery(
        message_id=stored.message_id,
        receipt=stored.receipt or "",
        body=message.body,
        attributes=message.attributes,
        receive_count=stored.receive_count,
        sent_at=datetime.fromtimestamp(stored.sent_at, UTC),
        group=message.group,
    )
