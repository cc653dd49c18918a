"""The lanes where something waits, in the order of their turns, and which of them is next."""

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator
from typing import Generic

from worker.lane import Lane
from worker.lane_queue import Entry, Item


class Rotation(Generic[Item]):
    """Lanes take turns; of those that may start something, the one with the lowest rank is next.

    Not thread-safe: `Lanes` holds the lock.
    """

    def __init__(self) -> None:
        self._lanes: deque[Lane[Item]] = deque()
        self._lanes_with: Counter[int] = Counter()

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def __len__(self) -> int:
        return len(self._lanes)

    def __iter__(self) -> Iterator[Lane[Item]]:
        return iter(self._lanes)

    def append(self, lane: Lane[Item], entry: Entry[Item]) -> None:
        """Let an entry wait in the lane."""
        if not lane.queue:
            self._lanes.append(lane)
        lane.queue.append(entry)
        lane.server.waiting += 1
        priority = entry.item.priority
        if lane.queue.count_of(priority) == 1:
            self._lanes_with[priority] += 1

    def note_out(self, lane: Lane[Item], entries: Collection[Entry[Item]]) -> None:
        """These entries wait in the lane no more."""
        lane.server.waiting -= len(entries)
        for priority in {entry.item.priority for entry in entries}:
            if not lane.queue.count_of(priority):
                _count_down(self._lanes_with, priority)
        if entries and not lane.queue:
            self._lanes.remove(lane)

    def clear(self) -> None:
        """Nothing waits any more."""
        self._lanes.clear()
        self._lanes_with.clear()

    def next(self, rank: Callable[[Lane[Item]], int | None]) -> Lane[Item] | None:
        """The lane whose turn it is; it goes to the end. `rank` is None for one that may start nothing."""
        # Only the lane whose turn it was goes to the end: were those that are not ready sent there too, of
        # the shards of a server that is away the same one could be asked for ever.
        chosen = self._first(rank)
        if chosen is not None:
            self._lanes.remove(chosen)
            self._lanes.append(chosen)
        return chosen

    def _first(self, rank: Callable[[Lane[Item]], int | None]) -> Lane[Item] | None:
        if len(self._lanes_with) == 1:
            return next((lane for lane in self._lanes if rank(lane) is not None), None)
        chosen, chosen_rank = None, float("inf")
        unseen = self._lanes_with.copy()
        for lane in self._lanes:
            found = rank(lane)
            if found is not None and found < chosen_rank:
                chosen, chosen_rank = lane, found
            # lanes that cannot start what is urgent gather in front: behind the last of them is none better
            for priority in lane.queue.priorities:
                _count_down(unseen, priority)
            if chosen is not None and chosen_rank <= min(unseen, default=chosen_rank):
                break
        return chosen


def _count_down(counter: Counter[int], priority: int) -> None:
    counter[priority] -= 1
    if not counter[priority]:
        del counter[priority]
