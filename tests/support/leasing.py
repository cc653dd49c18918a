"""A lease keeper over queues in memory, with time in hand: for tests of leases."""

from collections.abc import Sequence
from datetime import timedelta

from tests.support.fakes import NOON, ManualTime
from tests.support.memory_queue import MemoryPlace, MemoryTransport
from worker.held import Held
from worker.leases import Leases
from worker.transports.base import Message

LEASE_SECONDS = 60.0
LEASE = timedelta(seconds=LEASE_SECONDS)


class Care:
    """A lease keeper over queues in memory, with time in hand."""

    def __init__(self, renewal_seconds: float | None = None) -> None:
        self.time = ManualTime()
        self.place = MemoryPlace(clock=lambda: self.time.seconds)
        self.queue = self.place.transport("requests")
        self.other = self.place.transport("more-requests")
        self.leases = Leases(LEASE_SECONDS, self.time.clock, renewal_seconds)

    def take(self, count: int = 1, source: MemoryTransport | None = None) -> list[Held]:
        """Receive messages and give their leases into care."""
        source = source or self.queue
        source.send([Message("{}") for _ in range(count)])
        end = self.time.seconds + LEASE_SECONDS
        deliveries = source.receive(count, timedelta(), LEASE)
        held = [Held(delivery, source, NOON, self.time.seconds, end) for delivery in deliveries]
        self.leases.keep(held)
        return held

    def extended(self) -> list[str]:
        """The ids of the messages that were extended so far."""
        return self.place.did("extend")


def ids(held: Sequence[Held]) -> list[str]:
    """The messages' ids."""
    return [one.delivery.message_id for one in held]
