"""The lanes: one bounded place for each shard where parts wait and run; threads take fairly among them."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

import structlog

from worker.backoff import half_jitter
from worker.clock import Clock

Item = TypeVar("Item")

log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class Lane(Generic[Item]):
    """One shard's lane. While the shard is away, one item at a time probes it after each back-off."""

    shard: str
    limit: int
    waiting: deque[Item] = field(default_factory=deque)
    running: int = 0
    away_until: float | None = None
    away_tries: int = 0

    def ready(self, now: float) -> bool:
        """Whether an item may be taken now."""
        if self.away_until is not None:
            return self.probe_due(now)
        return self.running < self.limit

    def probe_due(self, now: float) -> bool:
        """Whether the shard is away, its back-off is over and nothing of it runs."""
        return self.away_until is not None and now >= self.away_until and self.running == 0


@dataclass(frozen=True, slots=True)
class Taken(Generic[Item]):
    """An item on its way through a worker thread, with its lane."""

    lane: Lane[Item]
    item: Item


class Lanes(Generic[Item]):
    """All lanes of the process; thread-safe.

    A shard that does not answer is *away*: its lane pauses with a growing back-off and then lets one item
    through, the probe. Items of lanes that are away stay, at most `held_maximum` of them, and one more
    for a lane whose probe is due: the others are the caller's to give back to the queue.
    """

    def __init__(
        self,
        limit_of: Callable[[str], int],
        held_maximum: int,
        away_delays: tuple[timedelta, timedelta],
        clock: Clock,
    ) -> None:
        self._limit_of = limit_of
        self._held_maximum = held_maximum
        self._away_base, self._away_maximum = away_delays
        self._clock = clock
        self._condition = threading.Condition()
        self._lanes: dict[str, Lane[Item]] = {}
        self._rotation: deque[Lane[Item]] = deque()
        self._closed = False

    def offer(self, shard: str, item: Item) -> str | None:
        """Put an item into its shard's lane; None when it was taken, else `shutdown` or `shard_away`."""
        with self._condition:
            if self._closed:
                return "shutdown"
            lane = self._lane(shard)
            if self._is_refused(lane):
                return "shard_away"
            self._append(lane, item)
            self._condition.notify()
            return None

    def take(self) -> Taken[Item] | None:
        """The next item, lane after lane in turn; waits for one. None when the lanes are closed."""
        with self._condition:
            while not self._closed:
                now = self._clock.monotonic()
                lane = self._next_ready(now)
                if lane is not None:
                    return self._start(lane)
                self._condition.wait(self._seconds_to_probe(now))
            return None

    def finished(self, taken: Taken[Item], *, answered: bool) -> list[Item]:
        """A worker thread is done with an item; the items that the caller must give back.

        `answered` is False when the shard could not be asked: the item returns to the end of its lane, so
        that the next probe is another one if there is any, unless there is no room to hold it.
        """
        with self._condition:
            lane = taken.lane
            lane.running -= 1
            given_back = self._note_answer(lane) if answered else self._note_away(lane, taken.item)
            self._wake_another()
        return given_back

    def close(self) -> list[Item]:
        """Let `take` return None from now on; the items that had not started."""
        with self._condition:
            self._closed = True
            left = [item for lane in self._rotation for item in lane.waiting]
            for lane in self._rotation:
                lane.waiting.clear()
            self._rotation.clear()
            self._condition.notify_all()
            return left

    def away(self) -> list[str]:
        """The shards that are away."""
        with self._condition:
            return sorted(lane.shard for lane in self._lanes.values() if lane.away_until is not None)

    def waiting(self) -> int:
        """How many items wait in all lanes."""
        with self._condition:
            return sum(len(lane.waiting) for lane in self._rotation)

    def _start(self, lane: Lane[Item]) -> Taken[Item]:
        lane.running += 1
        taken = Taken(lane, self._pop(lane))
        self._wake_another()
        return taken

    def _wake_another(self) -> None:
        # Whoever slept until a probe was due may be busy now: another thread must take over the waiting.
        if self._rotation:
            self._condition.notify()

    def _lane(self, shard: str) -> Lane[Item]:
        lane = self._lanes.get(shard)
        if lane is None:
            lane = self._lanes[shard] = Lane(shard, self._limit_of(shard))
        return lane

    def _is_refused(self, lane: Lane[Item]) -> bool:
        # A lane without an item gets its probe however many items others have: they must not keep it away.
        lacks_probe = not lane.waiting and lane.probe_due(self._clock.monotonic())
        return lane.away_until is not None and not lacks_probe and self._held_away() >= self._held_maximum

    def _append(self, lane: Lane[Item], item: Item) -> None:
        if not lane.waiting:
            self._rotation.append(lane)
        lane.waiting.append(item)

    def _pop(self, lane: Lane[Item]) -> Item:
        item = lane.waiting.popleft()
        if not lane.waiting:
            self._rotation.remove(lane)
        return item

    def _next_ready(self, now: float) -> Lane[Item] | None:
        for _ in range(len(self._rotation)):
            lane = self._rotation[0]
            self._rotation.rotate(-1)
            if lane.ready(now):
                return lane
        return None

    def _seconds_to_probe(self, now: float) -> float | None:
        moments = [
            lane.away_until for lane in self._rotation if lane.away_until is not None and lane.running == 0
        ]
        return max(0.0, min(moments) - now) if moments else None

    def _held_away(self) -> int:
        return sum(len(lane.waiting) for lane in self._rotation if lane.away_until is not None)

    def _note_answer(self, lane: Lane[Item]) -> list[Item]:
        if lane.away_until is not None:
            log.info("shard.back", shard=lane.shard, tries=lane.away_tries)
            lane.away_until, lane.away_tries = None, 0
        return []

    def _note_away(self, lane: Lane[Item], item: Item) -> list[Item]:
        self._back_off(lane)
        if self._closed:
            return [item]
        if not lane.waiting:
            self._rotation.append(lane)
        # Behind the others: an item that alone makes the shard look away must not be every probe.
        lane.waiting.append(item)
        return self._overflow(lane)

    def _back_off(self, lane: Lane[Item]) -> None:
        now = self._clock.monotonic()
        if lane.away_until is not None and now < lane.away_until:
            # It began before the shard was known to be away: no probe failed.
            return
        lane.away_tries += 1
        delay = half_jitter(lane.away_tries, self._away_base, self._away_maximum, self._clock.random())
        lane.away_until = now + delay.total_seconds()
        if lane.away_tries == 1:
            log.warning("shard.away", shard=lane.shard, waiting=len(lane.waiting) + 1)

    def _overflow(self, lane: Lane[Item]) -> list[Item]:
        excess = min(self._held_away() - self._held_maximum, len(lane.waiting))
        items = [lane.waiting.pop() for _ in range(max(0, excess))]
        if not lane.waiting:
            self._rotation.remove(lane)
        return items
