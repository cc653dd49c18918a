"""What waits in one lane by its priority: the more urgent first, partners in turn within one priority."""

from collections.abc import Callable, Hashable, Iterator
from typing import Generic

from worker.lane_queue import Entry, Item, LaneQueue


class LaneLevels(Generic[Item]):
    """A `LaneQueue` for each priority of which something waits; 0 is the most urgent."""

    def __init__(self) -> None:
        self._levels: dict[int, LaneQueue[Item]] = {}

    def __bool__(self) -> bool:
        return bool(self._levels)

    def __len__(self) -> int:
        return sum(map(len, self._levels.values()))

    def __iter__(self) -> Iterator[Entry[Item]]:
        return (entry for level in self._levels.values() for entry in level)

    @property
    def priorities(self) -> list[int]:
        """The priorities of what waits, the most urgent first."""
        return sorted(self._levels)

    @property
    def least_urgent(self) -> int:
        """The priority of what is given back first; something waits."""
        return max(self._levels)

    def next_priority(self, lets_in: Callable[[int], bool], *, as_probe: bool) -> int | None:
        """The priority of what is next; something waits. None: none has a place, as `lets_in` says of each.

        A probe is the most urgent of those that were in vain least often: what alone makes its shard look
        away must not be every probe. One without a place leaves its turn to the others.
        """
        if not as_probe:
            first = min(self._levels)
            return first if lets_in(first) else None
        having_place = [(self._levels[one].peek().misses, one) for one in self._levels if lets_in(one)]
        return min(having_place)[1] if having_place else None

    def count(self, priority: int | None) -> int:
        """How many entries of this priority or a more urgent one wait; None: of any."""
        return sum(len(level) for one, level in self._levels.items() if priority is None or one <= priority)

    def count_of(self, priority: int) -> int:
        """How many entries of just this priority wait."""
        level = self._levels.get(priority)
        return 0 if level is None else len(level)

    def job_count(self, priority: int | None) -> int:
        """How many jobs of this priority or a more urgent one have an entry here; None: of any."""
        levels = self._levels.items()
        return sum(level.job_count for one, level in levels if priority is None or one <= priority)

    def jobs_of(self, priority: int) -> int:
        """How many jobs of just this priority have an entry here."""
        level = self._levels.get(priority)
        return 0 if level is None else level.job_count

    def has_job(self, job_key: Hashable) -> bool:
        """Whether this job has an entry here."""
        return any(level.has_job(job_key) for level in self._levels.values())

    def waiting_since(self, priority: int) -> float | None:
        """When the entry came that has waited longest of this priority or a more urgent one, if any waits."""
        moments = (level.waiting_since() for one, level in self._levels.items() if one <= priority)
        return min((moment for moment in moments if moment is not None), default=None)

    def append(self, entry: Entry[Item]) -> None:
        """Put an entry behind the others of its priority and partner."""
        priority = entry.item.priority
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = LaneQueue()
        level.append(entry)

    def pop(self, priority: int) -> Entry[Item]:
        """Take the next entry of this priority, of which something waits."""
        return self._taken(priority, LaneQueue.pop)

    def take_along(self, priority: int, takes: Callable[[Item], bool], maximum: int) -> list[Entry[Item]]:
        """Take entries of just this priority; see `LaneQueue.take_along`."""
        level = self._levels.get(priority)
        if level is None:
            return []
        along = level.take_along(takes, maximum)
        if not len(level):
            del self._levels[priority]
        return along

    def pop_newest(self) -> Entry[Item]:
        """Take the last entry of the partner that has most of them among the least urgent."""
        return self._taken(self.least_urgent, LaneQueue.pop_newest)

    def remove(self, is_unwanted: Callable[[Item], bool]) -> list[Entry[Item]]:
        """Take out what is not wanted any more."""
        removed = [entry for level in self._levels.values() for entry in level.remove(is_unwanted)]
        self._levels = {priority: level for priority, level in self._levels.items() if len(level)}
        return removed

    def _taken(self, priority: int, take: Callable[[LaneQueue[Item]], Entry[Item]]) -> Entry[Item]:
        level = self._levels[priority]
        entry = take(level)
        if not len(level):
            del self._levels[priority]
        return entry
