"""Collects items of one kind and hands them over in batches: full, lingered for, or when no more come."""

import queue
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Generic, TypeVar

from worker.backoff import half_jitter
from worker.clock import Clock
from worker.pulse import doing
from worker.ranked_queue import RankedQueue

Item = TypeVar("Item")

BATCH_SIZE: Final = 10
FLUSH_SECONDS_MAXIMUM: Final = 300.0
RETRY_BASE: Final = timedelta(milliseconds=200)
RETRY_MAXIMUM: Final = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a batch may wait to fill: `linger_seconds`, and only while `expecting` says more will come."""

    linger_seconds: float
    expecting: Callable[[], bool]


class Batcher(Generic[Item]):
    """Hands batches of at most ten to `flush`, from one thread of its own (`run`).

    `flush` returns the items that must be tried again; they go first in the next batch, after a back-off
    that grows while nothing gets through. Nothing is dropped before `close` and the end of its patience.
    Items of a lower `rank` go before others that wait, equals as they came. No more than `again_maximum` of
    one batch are tried again, in turns, so that some that are stuck do not hold up the others.
    """

    def __init__(
        self,
        flush: Callable[[list[Item]], list[Item]],
        pace: Pace,
        clock: Clock,
        rank: Callable[[Item], int] = lambda _: 0,
        again_maximum: int = BATCH_SIZE,
    ) -> None:
        self._flush = flush
        self._pace = pace
        self._clock = clock
        self._rank = rank
        self._again_maximum = again_maximum
        self._items: RankedQueue[Item | None] = RankedQueue()
        self._hurried = False
        self._closing = False
        self._tries = 0

    def put(self, item: Item) -> None:
        """Add an item; never waits."""
        self._items.put(item, self._rank(item))

    @property
    def is_stuck(self) -> bool:
        """Whether nothing got through the last time."""
        return self._tries > 0

    def depth(self) -> int:
        """About how many items wait."""
        return self._items.qsize()

    def hurry(self) -> None:
        """Linger no more: the worker is about to leave."""
        self._hurried = True
        self._items.put(None)

    def close(self) -> None:
        """Let `run` return when everything is handed over."""
        self._hurried = self._closing = True
        self._items.put(None)

    def run(self) -> None:
        """Collect and flush until closed and empty."""
        again: list[Item] = []
        while not (self._closing and not again and self._items.empty()):
            again = self._turn(again)
            if again:
                self._back_off()

    def _turn(self, again: list[Item]) -> list[Item]:
        """Hand over one batch; what is to be tried again afterwards."""
        batch, rest = self._collect(again[: self._again_maximum]), again[self._again_maximum :]
        failed = self._flush_whole(batch) if batch else []
        self._tries = self._tries + 1 if batch and len(failed) == len(batch) else 0
        return rest + failed

    def _flush_whole(self, batch: list[Item]) -> list[Item]:
        with doing("settles", FLUSH_SECONDS_MAXIMUM):
            return self._flush(batch)

    def _collect(self, batch: list[Item]) -> list[Item]:
        if not batch:
            self._add(batch, timeout_seconds=None)
        deadline = self._clock.monotonic() + self._pace.linger_seconds
        while len(batch) < BATCH_SIZE:
            remaining = deadline - self._clock.monotonic()
            patient = remaining > 0 and not self._hurried and self._pace.expecting()
            if not self._add(batch, timeout_seconds=remaining if patient else 0):
                break
        return batch

    def _add(self, batch: list[Item], *, timeout_seconds: float | None) -> bool:
        try:
            if timeout_seconds == 0:
                item = self._items.get_nowait()
            else:
                item = self._items.get(timeout=timeout_seconds)
        except queue.Empty:
            return False
        if item is not None:
            batch.append(item)
        return True

    def _back_off(self) -> None:
        longest = RETRY_BASE if self._hurried else RETRY_MAXIMUM
        delay = half_jitter(self._tries + 1, RETRY_BASE, longest, self._clock.random())
        self._clock.sleep(delay.total_seconds())
