"""The lanes: limits held, turns fair, a shard that is away waits alone, and no item is lost or run twice."""

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from structlog.testing import capture_logs

from tests.support.fakes import ManualTime
from worker.clock import Clock
from worker.lanes import Lanes, Taken

SECOND = timedelta(seconds=1)
DELAYS = (SECOND, timedelta(minutes=1))
PATIENCE_SECONDS = 10.0
SHARDS = ("eu1", "eu2", "us1", "us2")


def lanes_of(
    time: ManualTime | None = None,
    limit: int = 1,
    held: int = 100,
    delays: tuple[timedelta, timedelta] = DELAYS,
) -> Lanes[str]:
    clock = time.clock if time is not None else Clock()
    return Lanes(lambda _shard: limit, held, delays, clock)


def take(lanes: Lanes[str]) -> Taken[str]:
    """The next item; there must be one, or the test hangs."""
    taken = lanes.take()
    assert taken is not None
    return taken


def fill(lanes: Lanes[str], shard: str, *items: str) -> None:
    assert [lanes.offer(shard, item) for item in items] == [None] * len(items)


def put_away(lanes: Lanes[str], shard: str, item: str = "probe") -> list[str]:
    """Let a part find that the shard is away; what was given back."""
    fill(lanes, shard, item)
    return lanes.finished(take(lanes), answered=False)


def test_a_shard_never_runs_more_than_its_limit() -> None:
    """The third of two waits until one has ended, however many threads ask."""
    lanes = lanes_of(limit=2)
    fill(lanes, "eu1", "a", "b", "c")
    fill(lanes, "eu2", "d")
    first, second, other = take(lanes), take(lanes), take(lanes)
    assert {first.item, second.item, other.item} == {"a", "b", "d"}
    lanes.finished(first, answered=True)

    assert take(lanes).item == "c"


def test_lanes_take_turns() -> None:
    """A shard with a hundred parts does not make another shard's single part wait."""
    lanes = lanes_of(limit=100)
    fill(lanes, "eu1", *(f"many-{number}" for number in range(100)))
    fill(lanes, "eu2", "one", "two")

    assert [take(lanes).item for _ in range(5)] == ["many-0", "one", "many-1", "two", "many-2"]


def test_a_lane_runs_its_items_in_order() -> None:
    """First come, first served."""
    lanes = lanes_of(limit=10)
    fill(lanes, "eu1", "a", "b", "c")

    assert [take(lanes).item for _ in range(3)] == ["a", "b", "c"]


def test_a_shard_that_is_away_is_probed_after_its_back_off_by_one_item_at_a_time() -> None:
    """Its other items wait, whatever its limit."""
    time = ManualTime(chance=0.999_999)
    lanes = lanes_of(time, limit=4)
    put_away(lanes, "eu1", "probe")
    fill(lanes, "eu1", "later")
    fill(lanes, "eu2", "other shard")
    assert take(lanes).item == "other shard"
    assert lanes.away() == ["eu1"]
    time.pass_time(1)
    probe = take(lanes)
    fill(lanes, "eu2", "again")

    assert (probe.item, take(lanes).item) == ("probe", "again")


def test_an_item_that_alone_finds_its_shard_away_does_not_keep_it_from_the_others() -> None:
    """It goes behind them: the next probe is another item, and the shard is back."""
    time = ManualTime(chance=0.999_999)
    lanes = lanes_of(time)
    fill(lanes, "eu1", "poison", "a", "b")
    lanes.finished(take(lanes), answered=False)
    time.pass_time(1)
    probe = take(lanes)
    lanes.finished(probe, answered=True)

    assert (probe.item, lanes.away(), [lanes.waiting(), take(lanes).item]) == ("a", [], [2, "b"])


def test_the_back_off_grows_with_each_probe_and_starts_anew_after_an_answer() -> None:
    """One, two, four seconds; then the shard is back and takes its full limit again."""
    time = ManualTime(chance=0.999_999)
    lanes = lanes_of(time, limit=2)
    put_away(lanes, "eu1")
    for seconds in (1, 2, 4):
        lane = lanes._lanes["eu1"]
        assert lane.away_until == pytest.approx(time.seconds + seconds, rel=1e-5)
        time.pass_time(seconds)
        lanes.finished(take(lanes), answered=False)
    time.pass_time(8)
    with capture_logs() as lines:
        lanes.finished(take(lanes), answered=True)
    fill(lanes, "eu1", "a", "b")

    assert [(line["event"], line["tries"]) for line in lines] == [("shard.back", 4)]
    assert (lanes.away(), {take(lanes).item, take(lanes).item}) == ([], {"a", "b"})


def test_parts_that_find_the_shard_away_together_count_as_one_try() -> None:
    """Sixteen connections break at once: the first probe comes after a second, not after minutes."""
    time = ManualTime(chance=0.999_999)
    lanes = lanes_of(time, limit=16)
    fill(lanes, "eu1", *(str(number) for number in range(16)))
    running = [take(lanes) for _ in range(16)]
    with capture_logs() as lines:
        for taken in running:
            assert lanes.finished(taken, answered=False) == []
    time.pass_time(1)

    assert take(lanes).item in {str(number) for number in range(16)}
    assert [line["event"] for line in lines] == ["shard.away"]


def test_what_cannot_be_held_for_a_shard_that_is_away_is_given_back() -> None:
    """The one that found it away, then the newest; new ones are refused."""
    lanes = lanes_of(ManualTime(), held=3)
    fill(lanes, "eu1", "a", "b", "c", "d", "e")

    assert lanes.finished(take(lanes), answered=False) == ["a", "e"]
    assert lanes.offer("eu1", "f") == "shard_away"
    assert lanes.waiting() == 3


def test_a_healthy_shard_takes_everything_while_others_are_away() -> None:
    """Only items for shards that are away are counted."""
    lanes = lanes_of(ManualTime(), held=1)
    put_away(lanes, "eu1")
    fill(lanes, "eu2", *(str(number) for number in range(50)))

    assert lanes.waiting() == 51


def test_a_shard_that_is_back_is_found_although_others_fill_the_held_places() -> None:
    """One shard that is down for days must not keep another's short absence from being noticed as over."""
    time = ManualTime()
    lanes = lanes_of(time, held=2)
    put_away(lanes, "eu1", "old")
    fill(lanes, "eu1", "old too")
    assert put_away(lanes, "eu2", "new") == ["new"]
    assert lanes.offer("eu2", "too early") == "shard_away"
    time.pass_time(0.6)
    fill(lanes, "eu2", "probe")
    assert lanes.offer("eu2", "no second one") == "shard_away"
    taken = [take(lanes), take(lanes)]
    for one in taken:
        lanes.finished(one, answered=one.lane.shard == "eu2")

    assert {one.item for one in taken} == {"old", "probe"}
    assert lanes.away() == ["eu1"]
    assert lanes.offer("eu2", "welcome") is None


def test_closing_returns_what_did_not_start_and_ends_the_workers() -> None:
    """Once; what runs is finished by its thread, and refused when its shard is away."""
    lanes = lanes_of(ManualTime())
    fill(lanes, "eu1", "runs", "a", "b")
    fill(lanes, "eu2", "c")
    running = take(lanes)

    assert sorted(lanes.close()) == ["a", "b", "c"]
    assert (lanes.close(), lanes.take(), lanes.offer("eu1", "d")) == ([], None, "shutdown")
    assert lanes.finished(running, answered=False) == ["runs"]


def test_closing_wakes_every_waiting_worker() -> None:
    """None of them is left behind."""
    lanes = lanes_of()
    threads = [threading.Thread(target=lanes.take, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    lanes.close()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)

    assert not any(thread.is_alive() for thread in threads)


def test_a_waiting_worker_notices_a_due_probe_while_the_others_are_busy() -> None:
    """Whoever slept until then may have been woken for other work: somebody else must wake in its place."""
    lanes = lanes_of(limit=1, delays=(timedelta(milliseconds=100), SECOND))
    busy, release = threading.Semaphore(0), threading.Event()
    probed = threading.Event()

    def work() -> None:
        while (taken := lanes.take()) is not None:
            if taken.item == "probe":
                probed.set()
            else:
                busy.release()
                release.wait(PATIENCE_SECONDS)
            lanes.finished(taken, answered=True)

    put_away(lanes, "eu1", "probe")
    for _ in range(3):
        threading.Thread(target=work, daemon=True).start()
    fill(lanes, "eu2", "long")
    fill(lanes, "us1", "long")
    for _ in range(2):
        assert busy.acquire(timeout=PATIENCE_SECONDS)

    assert probed.wait(PATIENCE_SECONDS)
    release.set()
    lanes.close()


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
