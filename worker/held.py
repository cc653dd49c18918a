"""A delivery in hand, and the count of them: never more than there is room for."""

import math
import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime

from worker.transports.base import Delivery, Transport
from worker.transports.limits import BATCH_COUNT_MAXIMUM


@dataclass(eq=False, slots=True)
class Held:
    """A delivery that this process holds, from its receipt until it is acked or released.

    `expires_at` (monotonic seconds) is written by the lease keeper alone; `lost` is set once and for all
    when the lease ran out: another worker may have the message, so it is neither acked nor released here.
    `sqs_requests` and `s3_requests` are what it has cost so far; a lost update there costs a line's accuracy.
    """

    delivery: Delivery
    source: Transport = field(repr=False)
    received_at: datetime
    started_at: float
    expires_at: float
    lost: threading.Event = field(default_factory=threading.Event, repr=False)
    prepared_at: float | None = None
    copied: bool = False
    sqs_requests: float = 0.0
    s3_requests: int = 0


def charge(batch: Collection[Held]) -> None:
    """Add to each delivery its share of the requests that the whole batch takes, one for each ten."""
    count = len(batch)
    for held in batch:
        held.sqs_requests += -(-count // BATCH_COUNT_MAXIMUM) / count


class Room:
    """Counts what is in hand against `capacity`, and what may still be taken against `limit`, if any.

    Thread-safe. `on_limit` and `on_empty` are called without the lock, by the thread that brought it about.
    Places are reserved before a receive and given back for what it did not bring, so a poll under way
    never brings more than there is room for. Who comes first is served first, and leaves something for each
    of the `receivers`: an idle queue's long poll must not hold all the places that a busy one needs.
    """

    def __init__(
        self,
        capacity: int,
        limit: int | None,
        on_limit: Callable[[], None],
        on_empty: Callable[[], None],
        receivers: int = 1,
    ) -> None:
        self.capacity = capacity
        self._receivers = receivers
        self._queue: deque[object] = deque()
        self._condition = threading.Condition()
        self._taken = 0
        self._reserved = 0
        self._settled = 0
        self._failed = 0
        self._failures = 0
        self._limit = limit
        self._on_limit = on_limit
        self._on_empty = on_empty
        self._closed = False

    def reserve(self, wanted: int, linger_seconds: float) -> int:
        """Up to `wanted` places, at least one; waits for the first, then up to the linger for the rest.

        Returns 0 when the room was closed: nothing more is to be received.
        """
        turn = object()
        with self._condition:
            self._queue.append(turn)
            self._condition.wait_for(lambda: self._closed or (self._free() > 0 and self._queue[0] is turn))
            self._condition.wait_for(lambda: self._closed or self._free() >= wanted, linger_seconds)
            places = min(wanted, math.ceil(self._free() / self._receivers))
            self._reserved += places
            self._queue.remove(turn)
            self._condition.notify_all()
            return places

    def fill(self, reserved: int, received: int) -> None:
        """A receive ended: of `reserved` places, `received` are taken now and the rest is free again."""
        with self._condition:
            self._reserved -= reserved
            self._taken += received
            self._condition.notify_all()
            empty = self._is_left()
        if empty:
            self._on_empty()

    def leave(self, *, settled: bool, failed: bool = False) -> None:
        """One delivery is out of hand; `settled` when it was acked, which counts against the limit.

        `failed`: it ended in a failure, for good or, not settled, to be tried again.
        """
        with self._condition:
            self._taken -= 1
            self._settled += settled
            self._failed += settled and failed
            self._failures += failed
            reached = self._limit is not None and self._settled >= self._limit
            self._condition.notify_all()
            empty = self._is_left()
        if reached:
            self._on_limit()
        if empty:
            self._on_empty()

    def close(self) -> None:
        """Let nothing more be received; `on_empty` is called when the last delivery has left."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
            empty = self._is_left()
        if empty:
            self._on_empty()

    @property
    def taken(self) -> int:
        """How many deliveries are in hand."""
        return self._taken

    @property
    def settled(self) -> int:
        """How many deliveries were acked."""
        return self._settled

    @property
    def failed(self) -> int:
        """How many of those that were acked failed, or were refused."""
        return self._failed

    @property
    def failures(self) -> int:
        """How many deliveries ended in a failure, those that are tried again too."""
        return self._failures

    def _is_left(self) -> bool:
        return self._closed and self._taken == 0 and self._reserved == 0

    def _free(self) -> int:
        if self._closed:
            return 0
        free = self.capacity - self._taken - self._reserved
        if self._limit is not None:
            free = min(free, self._limit - self._settled - self._taken - self._reserved)
        return free
