"""A queue between threads whose items have ranks: the lowest comes out first, equals as they came in."""

import heapq
import queue
import threading
from itertools import count
from typing import Generic, TypeVar

Item = TypeVar("Item")


class RankedQueue(Generic[Item]):
    """Thread-safe, and never full; it has the names of `queue.SimpleQueue`."""

    def __init__(self) -> None:
        self._arrivals: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._heap: list[tuple[int, int, Item]] = []
        self._numbers = count()

    def put(self, item: Item, rank: int = 0) -> None:
        """Add an item; never waits."""
        with self._lock:
            heapq.heappush(self._heap, (rank, next(self._numbers), item))
        self._arrivals.put(None)

    def get(self, timeout: float | None = None) -> Item:
        """The first item; waits for one, for so many seconds. Raises `queue.Empty` when none came."""
        self._arrivals.get(timeout=timeout)
        return self._pop()

    def get_nowait(self) -> Item:
        """The first item. Raises `queue.Empty` when there is none."""
        self._arrivals.get_nowait()
        return self._pop()

    def empty(self) -> bool:
        """Whether nothing waits."""
        return self._arrivals.empty()

    def qsize(self) -> int:
        """About how many items wait."""
        return self._arrivals.qsize()

    def _pop(self) -> Item:
        # each arrival that was taken stands for an item that is there
        with self._lock:
            return heapq.heappop(self._heap)[2]
