"""A delivery in hand, and the count of them: never more than there is room for."""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime

from worker.shares import Shares
from worker.transports.base import Delivery, Transport
from worker.transports.limits import BATCH_COUNT_MAXIMUM


@dataclass(eq=False, slots=True)
class Held:
    """A delivery that this process holds, from its receipt until it is acked or released.

    `expires_at` (monotonic seconds) is written by the lease keeper alone; `lost` is set once and for all
    when the lease ran out: another worker may have the message, so it is neither acked nor released here.
    `priority` is the place of its queue among the request queues: 0 is the most urgent.
    `deaths`: of a dry run that came too often, how many processes are thought to have died with it; None of
    any other. Its waits go on in copies, by which they are told from that.
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
    priority: int = 0
    deaths: int | None = None
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
    never brings more than there is room for. Several `queues` are known by their priority, and have their
    `Shares`: the more urgent is served first, and no other takes the places that it needs.
    """

    def __init__(
        self,
        capacity: int,
        limit: int | None,
        on_limit: Callable[[], None],
        on_empty: Callable[[], None],
        queues: int = 1,
    ) -> None:
        self.capacity = capacity
        self._shares = Shares(queues)
        self._waiting: list[int] = []
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

    @property
    def is_tight(self) -> bool:
        """Whether one queue's idle poll can keep another's from beginning: few places, or a limit is near."""
        places = self._places()
        return self._shares.are_few(places) or (places < self.capacity and self._shares.are_scarce(places))

    @property
    def is_awaited(self) -> bool:
        """Whether a queue waits for places, or for more of them."""
        return bool(self._waiting)

    def reserve(self, wanted: int, linger_seconds: float, priority: int = 0) -> int:
        """Up to `wanted` places, at least one; waits for the first, then up to the linger for the rest.

        Returns 0 when the room was closed: nothing more is to be received. Each queue asks once at a time.
        """
        with self._condition:
            self._waiting.append(priority)
            places = 0
            while not places and not self._closed:
                self._condition.wait_for(lambda: self._closed or self._is_next(priority))
                self._condition.wait_for(
                    lambda: self._closed or self._free(priority) >= wanted, linger_seconds
                )
                # the linger of one ends for all that come before it
                places = min(wanted, self._free(priority)) if self._is_next(priority) else 0
            self._waiting.remove(priority)
            self._reserved += places
            self._shares.reserve(priority, places)
            self._condition.notify_all()
            return places

    def fill(self, reserved: int, received: int, priority: int = 0) -> None:
        """A receive ended: of `reserved` places, `received` are taken now and the rest is free again."""
        with self._condition:
            self._shares.fill(priority, reserved, received)
            self._reserved -= reserved
            self._taken += received
            self._condition.notify_all()
            empty = self._is_left()
        if empty:
            self._on_empty()

    def leave(self, *, settled: bool, failed: bool = False, priority: int = 0) -> None:
        """One delivery is out of hand; `settled` when it was acked, which counts against the limit.

        `failed`: it ended in a failure, for good or, not settled, to be tried again.
        """
        with self._condition:
            self._shares.leave(priority)
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

    def _is_next(self, priority: int) -> bool:
        """Whether the queue may have places before all others that wait and may have some."""
        order = self._shares.order
        before = (one for one in self._waiting if order(one) < order(priority))
        return self._free(priority) > 0 and not any(self._free(one) > 0 for one in before)

    def _free(self, priority: int) -> int:
        return 0 if self._closed else self._shares.free(priority, self._places())

    def _places(self) -> int:
        """How many places there are, taken or not."""
        return self.capacity if self._limit is None else min(self.capacity, self._limit - self._settled)
