"""The lanes under every order of steps and many threads: no item is lost or run twice."""

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.fakes import ManualTime
from tests.support.lanes import PATIENCE_SECONDS, lanes_of, take
from worker.lanes import Lanes, Taken

SHARDS = ("eu1", "eu2", "us1", "us2")


class Ledger:
    """What became of each item in the stress test, and how many ran at once on each shard."""

    def __init__(self) -> None:
        self.lock = threading.Condition()
        self.done: Counter[str] = Counter()
        self.running: Counter[str] = Counter()
        self.over_limit: list[str] = []

    def enter(self, shard: str, limit: int) -> None:
        """An item starts."""
        with self.lock:
            self.running[shard] += 1
            if self.running[shard] > limit:
                self.over_limit.append(shard)

    def end(self, items: list[str]) -> None:
        """These items are done, or were given back."""
        with self.lock:
            self.done.update(items)
            self.lock.notify_all()

    def wait_for(self, count: int) -> bool:
        """Wait until so many items have ended."""
        with self.lock:
            return self.lock.wait_for(lambda: self.done.total() >= count, 60)

    def leave(self, shard: str) -> None:
        """It ends."""
        with self.lock:
            self.running[shard] -= 1


def stress_worker(lanes: Lanes[str], ledger: Ledger, chance: Callable[[], float]) -> None:
    """Run items until the lanes are closed; one in ten finds its shard away; what is given back has ended."""
    while (taken := lanes.take()) is not None:
        shard = taken.lane.shard
        ledger.enter(shard, 2)
        answered = chance() > 0.1
        ledger.leave(shard)
        ledger.end([*([taken.item] if answered else []), *lanes.finished(taken, answered=answered)])


def test_nothing_is_lost_or_run_twice_by_many_threads() -> None:
    """Eight workers, twenty lanes, four thousand items from four sides, shards that come and go."""
    delays = (timedelta(microseconds=100), timedelta(milliseconds=1))
    lanes = lanes_of(limit=2, held=50, delays=delays)
    ledger, dice = Ledger(), random.Random(1)  # noqa: S311 - dice, no secrets
    workers = [
        threading.Thread(target=stress_worker, args=(lanes, ledger, dice.random), daemon=True)
        for _ in range(8)
    ]

    def offer(side: int) -> None:
        for number in range(1000):
            item = f"{side}-{number}"
            if lanes.offer(f"shard-{number % 20}", item) is not None:
                ledger.end([item])

    sides = [threading.Thread(target=offer, args=(side,), daemon=True) for side in range(4)]
    for thread in [*workers, *sides]:
        thread.start()
    everything_ended = ledger.wait_for(4000)
    ledger.end(lanes.close())
    for thread in workers:
        thread.join(PATIENCE_SECONDS)

    assert everything_ended
    assert ledger.over_limit == []
    assert len(ledger.done) == 4000
    assert set(ledger.done.values()) == {1}


class LanesMachine(RuleBasedStateMachine):
    """Offers, takes, ends, time and a close in any order, against a plain model."""

    @initialize(limit=st.integers(1, 3), held=st.integers(1, 4))
    def open(self, limit: int, held: int) -> None:
        """Any limit, any room for items of shards that are away."""
        self.time = ManualTime(chance=0.5)
        self.limit, self.held = limit, held
        self.lanes = lanes_of(self.time, limit=limit, held=held)
        self.waiting: dict[str, list[str]] = {shard: [] for shard in SHARDS}
        self.running: list[Taken[str]] = []
        self.away_until: dict[str, float] = {}
        self.passed_over: Counter[str] = Counter()
        self.numbers = itertools.count()
        self.accepted: set[str] = set()
        self.ended: Counter[str] = Counter()
        self.closed = False

    def _running_on(self, shard: str) -> int:
        return sum(taken.lane.shard == shard for taken in self.running)

    def _is_ready(self, shard: str) -> bool:
        if not self.waiting[shard]:
            return False
        if shard in self.away_until:
            return self._running_on(shard) == 0 and self.time.seconds >= self.away_until[shard]
        return self._running_on(shard) < self.limit

    def _held_away(self) -> int:
        return sum(len(self.waiting[shard]) for shard in self.away_until)

    @rule(shard=st.sampled_from(SHARDS))
    def offer(self, shard: str) -> None:
        """A job offers a part."""
        item = f"{shard}-{next(self.numbers)}"
        code = self.lanes.offer(shard, item)
        lacks_probe = (
            shard in self.away_until
            and not self.waiting[shard]
            and not self._running_on(shard)
            and self.time.seconds >= self.away_until[shard]
        )
        if self.closed:
            assert code == "shutdown"
        elif shard in self.away_until and self._held_away() >= self.held and not lacks_probe:
            assert code == "shard_away"
        else:
            assert code is None
            self.accepted.add(item)
            self.waiting[shard].append(item)

    @precondition(lambda self: not self.closed and any(map(self._is_ready, SHARDS)))
    @rule()
    def take(self) -> None:
        """A worker thread takes the next item: the head of a lane that is ready, and each lane in turn."""
        ready = [shard for shard in SHARDS if self._is_ready(shard)]
        taken = take(self.lanes)
        shard = taken.lane.shard
        assert shard in ready
        assert self.waiting[shard].pop(0) == taken.item
        self.running.append(taken)
        self.passed_over.pop(shard, None)
        for other in set(ready) - {shard}:
            self.passed_over[other] += 1
            assert self.passed_over[other] < len(SHARDS)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), answered=st.booleans())
    def finish(self, data: st.DataObject, answered: bool) -> None:  # noqa: FBT001 - hypothesis names it
        """A part ends, or finds that its shard is away."""
        taken = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        shard = taken.lane.shard
        given_back = self.lanes.finished(taken, answered=answered)
        if answered:
            self.away_until.pop(shard, None)
            self.ended[taken.item] += 1
            assert given_back == []
        else:
            self._note_away(shard, taken.item, given_back)
        self.passed_over = Counter({name: n for name, n in self.passed_over.items() if self._is_ready(name)})

    def _note_away(self, shard: str, item: str, given_back: list[str]) -> None:
        until = self.lanes._lanes[shard].away_until
        assert until is not None
        assert until > self.time.seconds
        self.away_until[shard] = until
        self.ended.update(given_back)
        if self.closed:
            assert given_back == [item]
            return
        kept = [*self.waiting[shard], item]
        excess = min(
            max(0, sum(len(self.waiting[name]) for name in self.away_until) + 1 - self.held), len(kept)
        )
        assert given_back == kept[::-1][:excess]
        self.waiting[shard] = kept[: len(kept) - excess]

    @rule(seconds=st.sampled_from([0.1, 1.0, 30.0, 60.0]))
    def pass_time(self, seconds: float) -> None:
        """Back-offs end."""
        self.time.pass_time(seconds)

    @precondition(lambda self: not self.closed and next(self.numbers) > 10)
    @rule()
    def close(self) -> None:
        """The worker stops: what did not start comes back, once."""
        left = self.lanes.close()
        assert sorted(left) == sorted(item for items in self.waiting.values() for item in items)
        self.ended.update(left)
        self.waiting = {shard: [] for shard in SHARDS}
        self.closed = True

    @invariant()
    def no_shard_runs_more_than_it_may(self) -> None:
        """Its limit; and one probe while it is away, beside what ran before."""
        assert all(self._running_on(shard) <= self.limit for shard in SHARDS)

    @invariant()
    def nothing_is_lost_and_nothing_ends_twice(self) -> None:
        """Every accepted item waits, runs, or has ended once."""
        waiting = {item for items in self.waiting.values() for item in items}
        running = {taken.item for taken in self.running}
        assert self.lanes.waiting() == len(waiting)
        assert self.accepted == waiting | running | set(self.ended)
        assert set(self.ended.values()) <= {1}
        assert self.lanes.away() == sorted(self.away_until)


TestLanesMachine = LanesMachine.TestCase
TestLanesMachine.settings = settings(max_examples=150, stateful_step_count=40)
