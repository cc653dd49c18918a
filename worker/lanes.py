"""All lanes of the process, one for each shard; worker threads take fairly among them."""

import threading
from collections import deque
from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Final, Generic

from shards.breaker import Breaker
from worker.clock import Clock
from worker.conclusion import Deferral
from worker.lane import Lane, Reply, Server, Taken
from worker.lane_queue import Entry, Item
from worker.lane_rules import LaneRules
from worker.status_file import LaneStatus

MISSES_MAXIMUM: Final = 3
SHUTDOWN: Final = Deferral(timedelta(), "shutdown")


class Lanes(Generic[Item]):
    """All lanes; thread-safe.

    A shard whose breaker is open is *away*: its lane lets through one item at a time, as a probe, and a
    server that is away lets through one for all its shards. A lane whose first item waits for long is *slow*.
    Of what waits in lanes that are away, or slow, only so much is kept that the others have room: the rest
    is the caller's to give back to the queue, with the deferral that comes with it. A lane whose probe is due
    always takes one.
    """

    def __init__(self, rules: LaneRules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._condition = threading.Condition()
        self._lanes: dict[str, Lane[Item]] = {}
        self._servers: dict[str, Server] = {}
        self._rotation: deque[Lane[Item]] = deque()
        self._closed = False
        self._dismissed = 0

    def apply(self, rules: LaneRules) -> None:
        """Go by these rules from now on. What runs beyond a smaller limit goes on to its end."""
        with self._condition:
            self._rules = rules
            for server in self._servers.values():
                server.resize(rules.server_limit(server.name))
            for lane in self._lanes.values():
                lane.resize(rules.berth_of(lane.shard).limit)
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
            lane, now = self._lane(shard), self._clock.monotonic()
            code = self._refusal(lane, item, now)
            if code is not None:
                return self._deferral(lane, code, now)
            self._append(lane, Entry(item, now))
            self._condition.notify()
            return None

    def admit(self, shard: str) -> Deferral | None:
        """Whether an item for this shard is worth what it costs to prepare; None when it is.

        It is not for a shard that is away, but for the one item that becomes its probe: to the first who asks
        when a probe is lacking this says that it is.
        """
        with self._condition:
            lane, now = self._lane(shard), self._clock.monotonic()
            if not lane.is_away or lane.promise_probe(now):
                return None
            return self._deferral(lane, "shard_away", now)

    def take(self) -> Taken[Item] | None:
        """The next item, lane after lane in turn; waits for one. None when the calling thread is to end."""
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

    def finished(self, taken: Taken[Item], reply: Reply) -> list[tuple[Item, Deferral]]:
        """A worker thread is done with an item; what the caller must give back.

        An item that was not answered returns to its lane, behind the others: what alone makes its shard look
        away must not be every probe. One that finds an answering shard away again and again is given back.
        """
        with self._condition:
            now = self._clock.monotonic()
            taken.lane.end(taken, reply, now)
            given_back = self._put_back(taken.lane, taken.entry, now) if reply is Reply.UNANSWERED else []
            self._wake_another()
            return given_back

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
                lane.server.waiting -= len(removed)
                withdrawn += [entry.item for entry in removed]
                self._leave_rotation(lane)
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

    def _start(self, lane: Lane[Item]) -> Taken[Item]:
        taken = lane.start()
        self._leave_rotation(lane)
        self._wake_another()
        return taken

    def _wake_another(self) -> None:
        # Whoever slept until a probe was due may be busy now: another thread must take over the waiting.
        if self._rotation:
            self._condition.notify()

    def _lane(self, shard: str) -> Lane[Item]:
        lane = self._lanes.get(shard)
        if lane is None:
            berth = self._rules.berth_of(shard)
            server = self._server(berth.server)
            lane = self._lanes[shard] = Lane(shard, berth.limit, server, self._breaker(berth.limit))
        return lane

    def _server(self, name: str) -> Server:
        server = self._servers.get(name)
        if server is None:
            limit = self._rules.server_limit(name)
            server = self._servers[name] = Server(name, limit, self._breaker(limit, threshold=1))
        return server

    def _breaker(self, limit: int, **threshold: int) -> Breaker:
        def cool_down(tries: int) -> float:
            return self._rules.cool_down_seconds(tries, self._clock.random())

        return Breaker(limit, cool_down, **threshold)

    def _refusal(self, lane: Lane[Item], item: Item, now: float) -> str | None:
        if lane.is_away:
            # A lane gets its probe however many items others have: they must not keep it away.
            is_full = self._held_away() >= self._rules.held_maximum
            return "shard_away" if is_full and not lane.lacks_probe(now) else None
        # Another part of a job that waits here anyway fills no place of the room.
        if not self._is_slow(lane, now) or lane.queue.has_job(item.job_key):
            return None
        is_full = self._held_slow(now) >= self._rules.held_maximum
        return "shard_busy" if is_full and lane.queue.job_count >= lane.limit else None

    def _deferral(self, lane: Lane[Item], code: str, now: float) -> Deferral:
        slow_since = now if lane.slow_since is None else lane.slow_since
        lasted_seconds = now - slow_since if code == "shard_busy" else lane.away_seconds(now)
        return Deferral(self._rules.return_delay(lasted_seconds, self._clock.random()), code)

    def _append(self, lane: Lane[Item], entry: Entry[Item]) -> None:
        if not lane.queue:
            self._rotation.append(lane)
        lane.append(entry)

    def _leave_rotation(self, lane: Lane[Item]) -> None:
        if not lane.queue and lane in self._rotation:
            self._rotation.remove(lane)

    def _next_ready(self, now: float) -> Lane[Item] | None:
        # Only the lane whose turn it was goes to the end: were those that are not ready sent there too, of
        # the shards of a server that is away the same one could be asked for ever.
        for lane in self._rotation:
            if lane.ready(now):
                self._rotation.remove(lane)
                self._rotation.append(lane)
                return lane
        return None

    def _seconds_to_probe(self, now: float) -> float | None:
        spans = (lane.seconds_to_probe(now) for lane in self._rotation)
        return min((span for span in spans if span is not None), default=None)

    def _held_away(self) -> int:
        return sum(len(lane.queue) for lane in self._rotation if lane.is_away)

    def _held_slow(self, now: float) -> int:
        return sum(lane.queue.job_count for lane in self._rotation if self._is_slow(lane, now))

    def _is_slow(self, lane: Lane[Item], now: float) -> bool:
        slow_after = self._rules.slow_after
        if slow_after is None or lane.is_away or lane.waited_seconds(now) <= slow_after.total_seconds():
            lane.slow_since = None
        elif lane.slow_since is None:
            lane.slow_since = now
        return lane.slow_since is not None

    def _put_back(self, lane: Lane[Item], entry: Entry[Item], now: float) -> list[tuple[Item, Deferral]]:
        if self._closed:
            return [(entry.item, SHUTDOWN)]
        entry.misses += 1
        if not lane.is_away and entry.misses >= MISSES_MAXIMUM:
            return [(entry.item, self._deferral(lane, "shard_away", now))]
        self._append(lane, entry)
        return self._shed(now)

    def _shed(self, now: float) -> list[tuple[Item, Deferral]]:
        away = [lane for lane in self._rotation if lane.is_away]
        excess = self._held_away() - self._rules.held_maximum
        given_back = [self._pop_newest(away, "shard_away", now) for _ in range(excess)]
        while self._held_slow(now) > self._rules.held_maximum:
            crowded = [
                lane
                for lane in self._rotation
                if self._is_slow(lane, now) and lane.queue.job_count > lane.limit
            ]
            if not crowded:
                break
            given_back.append(self._pop_newest(crowded, "shard_busy", now))
        return given_back

    def _pop_newest(self, lanes: Iterable[Lane[Item]], code: str, now: float) -> tuple[Item, Deferral]:
        lane = max(lanes, key=lambda one: len(one.queue))
        deferral = self._deferral(lane, code, now)
        entry = lane.queue.pop_newest()
        lane.server.waiting -= 1
        self._leave_rotation(lane)
        return entry.item, deferral
