"""A queue on Redis, reached and written as kombu does, with leases that the server itself keeps."""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from hashlib import sha1
from threading import Event
from typing import Any, Final
from uuid import uuid4

from redis.exceptions import OutOfMemoryError

from worker.transports import redis_scripts
from worker.transports.addresses import RedisAddress
from worker.transports.base import Delivery, Depth, Fault, Faults, Message, QueueMissing, TransportError
from worker.transports.batches import split
from worker.transports.limits import (
    BATCH_COUNT_MAXIMUM,
    MESSAGE_BYTES_MAXIMUM,
    RELEASE_DELAY_MAXIMUM,
    WAIT_MAXIMUM,
    message_fault,
)
from worker.transports.redis_check import findings
from worker.transports.redis_envelope import Entry, delivery_of, payload_of
from worker.transports.redis_link import RedisLink

CALL_COUNT_MAXIMUM: Final = 500
CALL_BYTES_MAXIMUM: Final = 4 * 1024 * 1024
"""The most that one call to the server holds: it serves nobody else meanwhile."""

SLICE_SECONDS: Final = 1.0
"""How long a call may block: so late is seen what came back, and that the receive was interrupted."""

SHORTEST_SLICE_SECONDS: Final = 0.001
LOST: Final = Fault(
    "LeaseLost", "the lease ran out or the message is gone: another worker may have it", lost=True
)


class RedisTransport:
    """One queue on one server; keeps the `Transport` protocol. Several processes may use it at once.

    Each call is one step of the server. Leases and delays run by the server's clock, unless a `clock`
    (seconds since 1970) is given; `password` is asked for at each connect. What the server has accepted it
    keeps as well as it was told to (`appendonly`, `appendfsync`): `check` tells.
    """

    is_ordered = False
    hold_maximum = timedelta(days=365)
    message_bytes_maximum = MESSAGE_BYTES_MAXIMUM
    wait_maximum = WAIT_MAXIMUM

    def __init__(
        self,
        address: RedisAddress,
        *,
        password: Callable[[], str | None],
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.name = address.queue_name
        self._clock = clock
        self._keys = redis_scripts.keys_of(address.queue_name)
        self._link = RedisLink(address, password)
        self._waking = Event()
        self._turn = 0

    def receive(self, maximum: int, wait: timedelta, lease: timedelta) -> list[Delivery]:
        """As the protocol says; in the order of arrival, as far as nothing was released or delayed."""
        deadline = time.monotonic() + wait.total_seconds()
        taken, next_seconds = self._take(maximum, lease)
        while not taken and (left_seconds := deadline - time.monotonic()) > 0 and not self._waking.is_set():
            self._await_message(min(left_seconds, next_seconds, SLICE_SECONDS))
            if self._waking.is_set():
                break
            taken, next_seconds = self._take(maximum, lease)
        return taken

    def ack(self, batch: Sequence[Delivery]) -> Faults:
        """As the protocol says; a lease that ran out unnoticed by others still counts."""
        return self._settle(redis_scripts.ACK, [(one.message_id, one.receipt) for one in batch])

    def release(self, batch: Sequence[tuple[Delivery, timedelta]]) -> Faults:
        """As the protocol says; a delay above `RELEASE_DELAY_MAXIMUM` becomes that."""
        entries = [
            (one.message_id, one.receipt, min(delay, RELEASE_DELAY_MAXIMUM).total_seconds())
            for one, delay in batch
        ]
        return self._settle(redis_scripts.RELEASE, entries)

    def extend(self, batch: Sequence[Delivery], lease: timedelta) -> Faults:
        """As the protocol says."""
        entries = [(one.message_id, one.receipt, lease.total_seconds()) for one in batch]
        return self._settle(redis_scripts.EXTEND, entries)

    def send(self, batch: Sequence[Message]) -> Faults:
        """As the protocol says; a batch that takes several calls may be accepted in part when it fails."""
        checked = [message_fault(message) for message in batch]
        now = (self._clock or time.time)()
        entries = [
            (payload_of(message, self.name, now), message.delay.total_seconds())
            for message, fault in zip(batch, checked, strict=True)
            if fault is None
        ]
        sizes = [len(payload) for payload, _ in entries]
        for positions in split(sizes, CALL_COUNT_MAXIMUM, CALL_BYTES_MAXIMUM):
            self._run(redis_scripts.SEND, _flat(entries[positions.start : positions.stop]))
        return {position: fault for position, fault in enumerate(checked) if fault is not None}

    def browse(self, maximum: int) -> list[Delivery]:
        """As the protocol says: only read, so nothing is leased or counted."""
        returned, waiting = self._run(redis_scripts.BROWSE, [maximum])
        entries = [_entry(*one) for one in returned if one[2] is not None]
        now = (self._clock or time.time)()
        entries += [Entry(_id_of(payload), 0, payload, now) for payload in reversed(waiting)]
        return [delivery_of(entry, "") for entry in entries]

    def depth(self) -> Depth:
        """As the protocol says, exactly."""
        return Depth(*self._run(redis_scripts.DEPTH, []))

    def retention(self) -> None:
        """For ever: the server drops nothing by itself, unless it was told to (`check`)."""

    def create(self) -> bool:
        """Note in the server that the queue is there; whether it was not."""
        with self._link.calling() as client:
            return bool(client.set(self._keys[-1], f"{time.time():.0f}", nx=True))

    def check(self) -> list[str]:
        """As the protocol says: queue missing, settings of the server that lose messages, a cluster."""
        found: list[str] = []
        try:
            with self._link.calling() as client:
                found = findings(client)
            self.depth()
        except TransportError as error:
            found.append(str(error))
        return found

    def interrupt(self) -> None:
        """As the protocol says, within a second."""
        self._waking.set()

    def close(self) -> None:
        """Ends a receive that waits with nothing in hand."""
        self._waking.set()
        self._link.close()

    def _take(self, maximum: int, lease: timedelta) -> tuple[list[Delivery], float]:
        """What can be received now, and the seconds until something comes back into sight."""
        count = min(maximum, BATCH_COUNT_MAXIMUM)
        receipt = uuid4().hex
        # where but one is asked for, now what came before has precedence, now what never came
        self._turn ^= 1
        arguments = [lease.total_seconds(), receipt, count, (count + self._turn) // 2]
        taken, next_seconds = self._run(redis_scripts.TAKE, arguments)
        deliveries = [delivery_of(_entry(*one), receipt) for one in taken]
        return deliveries, SLICE_SECONDS if next_seconds is None else float(next_seconds)

    def _await_message(self, seconds: float) -> None:
        """Wait until something lies in the list, or the time is over. It stays there."""
        waiting = self._keys[0]
        with self._link.calling() as client:
            limit_seconds: Any = max(seconds, SHORTEST_SLICE_SECONDS)  # fractions too, unlike its type
            try:
                client.blmove(waiting, waiting, limit_seconds, "RIGHT", "RIGHT")
            except OutOfMemoryError:  # a full server refuses even that; what it has can be taken
                self._waking.wait(limit_seconds)

    def _settle(self, script: str, entries: Sequence[tuple[str | float, ...]]) -> Faults:
        """Run the script on entries that begin with id and receipt; a fault for each that it tells of."""
        faults: Faults = {}
        for positions in split([1] * len(entries), CALL_COUNT_MAXIMUM, CALL_COUNT_MAXIMUM):
            lost = self._run(script, _flat(entries[positions.start : positions.stop]))
            faults.update({positions.start + position: LOST for position in lost})
        return faults

    def _run(self, script: str, arguments: Iterable[Any]) -> Any:
        now = "" if self._clock is None else repr(self._clock())
        answer = self._link.run(script, self._keys, [now, *arguments])
        if answer is None:
            raise QueueMissing(f"queue {self.name}: it does not exist; `shardworker setup` creates it")
        return answer


def _flat(entries: Iterable[tuple[Any, ...]]) -> list[Any]:
    return [value for entry in entries for value in entry]


def _entry(message_id: bytes, receive_count: int, message: bytes) -> Entry:
    arrived_at, _, payload = message.partition(b" ")
    return Entry(message_id.decode(), int(receive_count), payload, float(arrived_at))


def _id_of(payload: bytes) -> str:
    return sha1(payload, usedforsecurity=False).hexdigest()
