"""What lanes that are away or slow may hold of the room: who is refused there, who is given back first."""

from collections.abc import Iterable
from typing import Generic

from worker.clock import Clock
from worker.conclusion import Deferral
from worker.lane import Lane
from worker.lane_queue import Item
from worker.lane_rules import LaneRules


class Holding(Generic[Item]):
    """Looks at `lanes`, which are those where something waits. Not thread-safe: `Lanes` holds the lock.

    Whoever comes is judged by what waits that is as urgent or more: it has the room before the rest, which
    is given back in its place at the next look.
    """

    def __init__(self, lanes: Iterable[Lane[Item]], rules: LaneRules, clock: Clock) -> None:
        self._lanes = lanes
        self._clock = clock
        self.rules = rules

    def refusal(self, lane: Lane[Item], item: Item, now: float) -> str | None:
        """Why the item cannot wait in the lane; None when it can."""
        priority = item.priority
        if lane.is_away:
            # A lane gets its probe however many items others have: they must not keep it away.
            is_full = self._held_away(priority) >= self.rules.held_maximum
            return "shard_away" if is_full and not lane.lacks_probe(now) else None
        # Another part of a job that waits here anyway fills no place of the room.
        if not self._is_slow(lane, priority, now) or lane.queue.has_job(item.job_key):
            return None
        is_full = self._held_slow(priority, now) >= self.rules.held_maximum
        return "shard_busy" if is_full and lane.queue.job_count(priority) >= lane.limit else None

    def deferral(self, lane: Lane[Item], priority: int, code: str, now: float) -> Deferral:
        """When an item of this priority that the lane cannot hold is to come again."""
        lasted_seconds = lane.away_seconds(now)
        if code == "shard_busy":
            lasted_seconds = now - lane.slow_since.get(priority, now)
        return Deferral(self.rules.return_delay(lasted_seconds, self._clock.random()), code)

    def overfull(self, now: float) -> tuple[Lane[Item], str] | None:
        """The lane whose newest item is to be given back, and why; None when all is as it may be.

        It is the lane that has the least urgent items, and of several the one with most items.
        """
        if self._held_away() > self.rules.held_maximum:
            return self._first_to_give([lane for lane in self._lanes if lane.is_away]), "shard_away"
        if self._held_slow(None, now) > self.rules.held_maximum:
            crowded = [lane for lane in self._lanes if self._is_crowded(lane, now)]
            return (self._first_to_give(crowded), "shard_busy") if crowded else None
        return None

    def _first_to_give(self, lanes: list[Lane[Item]]) -> Lane[Item]:
        return max(lanes, key=lambda lane: (lane.queue.least_urgent, len(lane.queue)))

    def _held_away(self, priority: int | None = None) -> int:
        return sum(lane.queue.count(priority) for lane in self._lanes if lane.is_away)

    def _held_slow(self, priority: int | None, now: float) -> int:
        return sum(self._slow_jobs(lane, priority, now) for lane in self._lanes)

    def _slow_jobs(self, lane: Lane[Item], priority: int | None, now: float) -> int:
        asked = [one for one in lane.queue.priorities if priority is None or one <= priority]
        return sum(lane.queue.jobs_of(one) for one in asked if self._is_slow(lane, one, now))

    def _is_crowded(self, lane: Lane[Item], now: float) -> bool:
        return lane.queue.job_count(None) > lane.limit and self._is_slow(lane, lane.queue.least_urgent, now)

    def _is_slow(self, lane: Lane[Item], priority: int, now: float) -> bool:
        slow_after = self.rules.slow_after
        if slow_after is None or lane.is_away:
            lane.slow_since.clear()
            return False
        if lane.waited_seconds(priority, now) <= slow_after.total_seconds():
            lane.slow_since.pop(priority, None)
            return False
        lane.slow_since.setdefault(priority, now)
        return True
