"""All lanes of the process, one for each shard; worker threads take what is most urgent, and fairly."""

import threading
from collections.abc import Callable, Collection
from datetime import timedelta
from functools import partial
from typing import Final, Generic

from worker.clock import Clock
from worker.conclusion import Deferral
from worker.lane import Lane, Reply, Taken
from worker.lane_holding import Holding
from worker.lane_places import LanePlaces
from worker.lane_queue import Entry, Item
from worker.lane_rotation import Rotation
from worker.lane_rules import LaneRules
from worker.occupancy import Occupancy
from worker.status_file import LaneStatus

MISSES_MAXIMUM: Final = 3
SHUTDOWN: Final = Deferral(timedelta(), "shutdown")


class Lanes(Generic[Item]):
    """All lanes; thread-safe.

    A shard whose breaker is open is *away*: its lane lets through one item at a time, as a probe, and a
    server that is away lets through one for all its shards. A lane whose first item waits for long is *slow*.
    Of what waits in lanes that are away, or slow, only so much is kept that the others have room: the rest
    is the caller's to give back to the queue, with the deferral that comes with it, the least urgent first. A
    lane whose probe is due always takes one.

    More urgent items go before others, in a lane and among lanes; those of one priority take turns. Of the
    threads, and of the places of a shard and a server, some are kept for them, as `Occupancy` says.
    """

    def __init__(self, rules: LaneRules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._condition = threading.Condition()
        self._places: LanePlaces[Item] = LanePlaces(rules, clock)
        self._lanes = self._places.lanes
        self._servers = self._places.servers
        self._rotation: Rotation[Item] = Rotation()
        self._threads = Occupancy()
        self._threads_given_up = 0
        self._holding = Holding(self._rotation, rules, clock)
        self._closed = False
        self._dismissed = 0

    def apply(self, rules: LaneRules) -> None:
        """Go by these rules from now on. What runs beyond a smaller limit goes on to its end."""
        with self._condition:
            self._rules = self._holding.rules = rules
            self._places.apply(rules)
            self._condition.notify_all()

    def dismiss(self, count: int) -> None:
        """Let `take` return None once for each of so many threads."""
        with self._condition:
            self._dismissed += count
            self._condition.notify_all()

    def offer(self, shard: str, item: Item) -> Deferral | None:
        """Put an item into its shard's lane; None when it was taken, else why not and when to come again.

        Raises what the rules raise for a shard that is not configured.
        """
        with self._condition:
            if self._closed:
                return SHUTDOWN
            lane, now = self._places.lane_of(shard), self._clock.monotonic()
            code = self._holding.refusal(lane, item, now)
            if code is not None:
                return self._holding.deferral(lane, item.priority, code, now)
            self._rotation.append(lane, Entry(item, now))
            self._condition.notify()
            return None

    def admit(self, shard: str) -> Deferral | None:
        """Whether an item for this shard is worth what it costs to prepare; None when it is.

        It is not for a shard that is away, but for the one item that becomes its probe: to the first who asks
        when a probe is lacking this says that it is.
        """
        with self._condition:
            lane, now = self._places.lane_of(shard), self._clock.monotonic()
            if not lane.is_away or lane.promise_probe(now):
                return None
            return self._holding.deferral(lane, 0, "shard_away", now)

    def take(self) -> Taken[Item] | None:
        """The most urgent item that may start, lane after lane in turn; waits for one.

        None when the calling thread is to end.
        """
        with self._condition:
            while not self._closed:
                if self._dismissed:
                    self._dismissed -= 1
                    self._wake_another()
                    return None
                now = self._clock.monotonic()
                lane = self._next_ready(now)
                if lane is not None:
                    return self._start(lane)
                self._condition.wait(self._seconds_to_probe(now))
            return None

    def take_along(
        self, taken: Taken[Item], takes: Callable[[Item], bool], maximum: int
    ) -> list[Entry[Item]]:
        """What waits in the same lane, as urgent, and may share the turn of an item, as `takes` says of each.

        At most so many, and never what idle threads would take as soon: nobody waits for longer. They take no
        place of their own; `put_back` takes those whose turn it was not. A probe is alone.
        """
        with self._condition:
            lane, priority = taken.lane, taken.item.priority
            if lane.is_away:
                return []
            share = lane.share_of_one(priority, self._thread_count - self._threads.taken)
            along = lane.queue.take_along(priority, takes, min(maximum, share))
            self._rotation.note_out(lane, along)
            return along

    def put_back(
        self, lane: Lane[Item], entries: Collection[Entry[Item]], asked: Item | None = None
    ) -> list[tuple[Item, Deferral]]:
        """Let entries wait again that were taken along; what the caller must give back.

        `asked` is the one that found its shard away: the others were not asked for themselves.
        """
        if not entries:
            return []
        with self._condition:
            now = self._clock.monotonic()
            self._condition.notify_all()
            return [
                returned
                for entry in entries
                for returned in self._put_back(lane, entry, now, missed=entry.item is asked)
            ]

    def finished(
        self, taken: Taken[Item], reply: Reply, *, thread_is_back: bool = True
    ) -> list[tuple[Item, Deferral]]:
        """A worker thread is done with an item; what the caller must give back.

        Where the item was ended without its thread, that is to be told of by `came_back` when it is.

        An item that was not answered returns to its lane, behind the others: what alone makes its shard look
        away must not be every probe. One that finds an answering shard away again and again is given back.
        """
        with self._condition:
            now = self._clock.monotonic()
            taken.lane.end(taken, reply, now)
            self._threads.leave(taken.item.priority)
            self._threads_given_up += not thread_is_back
            given_back = self._put_back(taken.lane, taken.entry, now) if reply is Reply.UNANSWERED else []
            self._wake_another()
            return given_back

    def came_back(self) -> None:
        """A thread that took an item is back, long after that was ended without it."""
        with self._condition:
            self._threads_given_up -= 1
            self._wake_another()

    def shed(self) -> list[tuple[Item, Deferral]]:
        """What lanes that are away or slow hold beyond their share of the room: the caller must give it back.

        To be called every second or so: a lane is found slow by the time that passes.
        """
        with self._condition:
            return self._shed(self._clock.monotonic())

    def held_away(self) -> list[Item]:
        """What waits in lanes that are away."""
        with self._condition:
            return [entry.item for lane in self._rotation if lane.is_away for entry in lane.queue]

    def withdraw(self, items: Collection[Item]) -> list[Item]:
        """Take these items out again; those that had not started, which are the caller's to give back."""
        unwanted = {id(item) for item in items}
        with self._condition:
            withdrawn: list[Item] = []
            for lane in list(self._rotation):
                removed = lane.queue.remove(lambda item: id(item) in unwanted)
                self._rotation.note_out(lane, removed)
                withdrawn += [entry.item for entry in removed]
            return withdrawn

    def close(self) -> list[Item]:
        """Let `take` return None from now on; the items that had not started."""
        with self._condition:
            self._closed = True
            left = [entry.item for lane in self._rotation for entry in lane.queue.remove(lambda _: True)]
            self._rotation.clear()
            self._condition.notify_all()
            return left

    def away(self) -> list[str]:
        """The shards that are away, by themselves or with their server."""
        with self._condition:
            return sorted(lane.shard for lane in self._lanes.values() if lane.is_away)

    def away_servers(self) -> list[str]:
        """The servers that are away."""
        with self._condition:
            return sorted(server.name for server in self._servers.values() if server.breaker.is_open)

    def status(self) -> dict[str, LaneStatus]:
        """How each lane stands, by shard."""
        with self._condition:
            return {
                lane.shard: LaneStatus(len(lane.queue), lane.running, lane.is_away, lane.openings)
                for lane in self._lanes.values()
            }

    def waiting(self) -> int:
        """How many items wait in all lanes."""
        with self._condition:
            return sum(len(lane.queue) for lane in self._rotation)

    @property
    def _thread_count(self) -> int:
        """How many threads take from the lanes."""
        return self._rules.threads - self._threads_given_up

    def _start(self, lane: Lane[Item]) -> Taken[Item]:
        priority = self._next_priority(lane)
        assert priority is not None  # noqa: S101 - whoever has a rank has it by this
        taken = lane.start(priority)
        self._rotation.note_out(lane, [taken.entry])
        self._threads.enter(priority)
        self._wake_another()
        return taken

    def _wake_another(self) -> None:
        # Whoever slept until a probe was due may be busy now: another thread must take over the waiting.
        if self._rotation:
            self._condition.notify()

    def _next_ready(self, now: float) -> Lane[Item] | None:
        return self._rotation.next(partial(self._rank, now=now))

    def _rank(self, lane: Lane[Item], now: float) -> int | None:
        """How urgent what the lane would start now is; None when it can start nothing.

        A probe takes turns with the most urgent: it is one item at a time, and tells of all that wait there.
        """
        priority = self._next_priority(lane) if lane.ready(now) else None
        return 0 if priority is not None and lane.is_away else priority

    def _next_priority(self, lane: Lane[Item]) -> int | None:
        """The priority of what the lane starts next; None when all would take a place that is kept."""
        return lane.queue.next_priority(partial(self._lets_in, lane), as_probe=lane.is_away)

    def _lets_in(self, lane: Lane[Item], priority: int) -> bool:
        if not priority:
            return True
        return self._threads.lets_in(priority, self._thread_count) and lane.lets_in(priority)

    def _seconds_to_probe(self, now: float) -> float | None:
        # who has no place now will be woken when there is one, and must not look for it all the time
        lanes = (lane for lane in self._rotation if self._next_priority(lane) is not None)
        spans = (lane.seconds_to_probe(now) for lane in lanes)
        return min((span for span in spans if span is not None), default=None)

    def _put_back(
        self, lane: Lane[Item], entry: Entry[Item], now: float, *, missed: bool = True
    ) -> list[tuple[Item, Deferral]]:
        if self._closed:
            return [(entry.item, SHUTDOWN)]
        entry.misses += missed
        if missed and not lane.is_away and entry.misses >= MISSES_MAXIMUM:
            return [(entry.item, self._holding.deferral(lane, entry.item.priority, "shard_away", now))]
        self._rotation.append(lane, entry)
        return self._shed(now)

    def _shed(self, now: float) -> list[tuple[Item, Deferral]]:
        given_back: list[tuple[Item, Deferral]] = []
        while (found := self._holding.overfull(now)) is not None:
            lane, code = found
            deferral = self._holding.deferral(lane, lane.queue.least_urgent, code, now)
            entry = lane.queue.pop_newest()
            self._rotation.note_out(lane, [entry])
            given_back.append((entry.item, deferral))
        return given_back
