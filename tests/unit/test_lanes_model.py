"""The lanes under every order of steps and many threads: no item is lost, starved or run twice."""

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.fakes import ManualTime
from tests.support.lanes import PATIENCE_SECONDS, Piece, lanes_of, take
from worker.lane import Reply, Taken
from worker.lanes import Lanes

SHARDS = ("db1.a", "db1.b", "db1.c", "db2.a")
PARTNERS = ("acme", "flood", "poor")
SHARD = st.sampled_from(SHARDS)
COUNT = st.sampled_from([1, 1, 5])
SICK = st.sampled_from([SHARDS[:3], SHARDS[:1], SHARDS, ()])
REPLIES = (Reply.ANSWERED, Reply.UNANSWERED, Reply.NOT_ASKED)  # a turn that was given up ends no other way
SLOW_AFTER = timedelta(seconds=5)


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

    def end(self, items: Sequence[str]) -> None:
        """These items are done, or were given back."""
        with self.lock:
            self.done.update(items)
            self.lock.notify_all()

    def wait_for(self, count: int, seconds: float = 60) -> bool:
        """Wait until so many items have ended."""
        with self.lock:
            return self.lock.wait_for(lambda: self.done.total() >= count, seconds)

    def leave(self, shard: str) -> None:
        """It ends."""
        with self.lock:
            self.running[shard] -= 1


def stress_worker(lanes: Lanes[Piece], ledger: Ledger, chance: Callable[[], float]) -> None:
    """Run items until the lanes are closed; one in four finds its shard away; what is given back ends."""
    while (taken := lanes.take()) is not None:
        shard = taken.lane.shard
        ledger.enter(shard, 2)
        reply = Reply.ANSWERED if chance() > 0.25 else Reply.UNANSWERED
        ledger.leave(shard)
        given_back = [piece for piece, _ in lanes.finished(taken, reply)]
        ledger.end([*([taken.item] if reply is Reply.ANSWERED else []), *given_back])


def test_nothing_is_lost_or_run_twice_by_many_threads() -> None:
    """Eight workers, twenty lanes on four servers, four thousand items; shards and servers come and go."""
    delays = (timedelta(microseconds=100), timedelta(milliseconds=1))
    slow_after = timedelta(milliseconds=20)
    lanes = lanes_of(limit=2, held=50, delays=delays, server_limit=4, slow_after=slow_after)
    ledger, dice = Ledger(), random.Random(1)  # noqa: S311 - dice, no secrets
    workers = [
        threading.Thread(target=stress_worker, args=(lanes, ledger, dice.random), daemon=True)
        for _ in range(8)
    ]

    def offer(side: int) -> None:
        for number in range(1000):
            item = Piece(f"partner-{side}/{number // 2}/{number}")
            if lanes.offer(f"db{number % 4}.{number % 20}", item) is not None:
                ledger.end([item])

    def tend() -> None:
        while not ledger.wait_for(4000, 0.01):
            ledger.end([piece for piece, _ in lanes.shed()])

    sides = [threading.Thread(target=offer, args=(side,), daemon=True) for side in range(4)]
    for thread in [*workers, *sides, threading.Thread(target=tend, daemon=True)]:
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
    """Offers, takes, ends, time, tending and a close in any order."""

    @initialize(limit=st.integers(1, 3), server_limit=st.integers(1, 4), held=st.integers(1, 4), sick=SICK)
    def open(self, limit: int, server_limit: int, held: int, sick: tuple[str, ...]) -> None:
        """Any limits, any room for items of shards that are away or slow."""
        self.time = ManualTime(chance=0.5)
        self.limit, self.server_limit, self.held = limit, server_limit, held
        self.lanes = lanes_of(
            self.time, limit=limit, held=held, server_limit=server_limit, slow_after=SLOW_AFTER
        )
        self.waiting: dict[str, list[Piece]] = {shard: [] for shard in SHARDS}
        self.running: list[Taken[Piece]] = []
        self.passed_over: Counter[Piece] = Counter()
        self.missed: Counter[str] = Counter()
        self.numbers = itertools.count()
        self.accepted: set[str] = set()
        self.ended: Counter[str] = Counter()
        self.closed = False
        self.sick = set(sick)

    def _running_on(self, place: str) -> list[Taken[Piece]]:
        return [taken for taken in self.running if taken.lane.shard.startswith(place)]

    @rule(shard=SHARD, partner=st.sampled_from(PARTNERS), job=st.integers(1, 3), count=COUNT)
    def offer(self, shard: str, partner: str, job: int, count: int) -> None:
        """A job offers some parts."""
        for _ in range(count):
            self._offer(shard, partner, job)

    def _offer(self, shard: str, partner: str, job: object, suffix: str = "") -> None:
        """One part: refused only at a stop, or where its lane is away or slow and much is held."""
        item = Piece(f"{partner}/{job}/{next(self.numbers)}{suffix}")
        refused = self.lanes.offer(shard, item)
        away = self.lanes.away()
        if refused is None:
            self.accepted.add(item)
            self.waiting[shard].append(item)
        elif refused.code == "shutdown":
            assert self.closed
        elif refused.code == "shard_away":
            assert shard in away
            assert sum(len(self.waiting[name]) for name in away) >= self.held
        else:
            assert refused.code == "shard_busy"
            assert shard not in away
            assert len(self.waiting[shard]) >= self.limit

    @rule(shard=SHARD)
    def admit(self, shard: str) -> None:
        """Somebody asks whether a part is worth preparing: always, but of a shard that is away one alone."""
        refused = self.lanes.admit(shard)
        away = shard in self.lanes.away()
        assert refused is None or (away and refused.code == "shard_away")
        if away and refused is None:
            assert self.lanes.admit(shard) is not None

    @precondition(lambda self: not self.closed and self._is_ready())
    @rule()
    def take(self) -> None:
        """A worker thread takes the next item, partner after partner in turn."""
        taken = take(self.lanes)
        shard = taken.lane.shard
        first_of_partner = next(one for one in self.waiting[shard] if one.partner_id == taken.item.partner_id)
        self.waiting[shard].remove(taken.item)
        self.running.append(taken)
        assert first_of_partner == taken.item
        heads = {one.partner_id: one for one in reversed(self.waiting[shard])}
        for partner, head in heads.items():
            self.passed_over[head] += partner != taken.item.partner_id
            assert self.passed_over[head] < len(PARTNERS)

    def _is_ready(self) -> bool:
        return any(lane.ready(self.time.seconds) for lane in self.lanes._rotation)

    @rule(sick=SICK)
    def fall_sick(self, sick: tuple[str, ...]) -> None:
        """No shard, one, all of a server's or all of them answer nobody from now on."""
        self.sick = set(sick)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), other=st.none() | st.sampled_from(REPLIES))
    def finish(self, data: st.DataObject, other: Reply | None) -> None:
        """A part ends: as its shard does, or by its own ways."""
        position = data.draw(st.integers(0, len(self.running) - 1))
        sick = self.running[position].lane.shard in self.sick
        self._end(position, other or (Reply.UNANSWERED if sick else Reply.ANSWERED))

    @precondition(lambda self: not self.closed and self._is_ready())
    @rule()
    def take_and_finish(self) -> None:
        """The same, one after the other: ten times at most."""
        for _ in range(10):
            if self._is_ready():
                self.take()
                is_sick = self.running[-1].lane.shard in self.sick
                self._end(len(self.running) - 1, Reply.UNANSWERED if is_sick else Reply.ANSWERED)

    def _end(self, position: int, reply: Reply) -> None:
        taken = self.running.pop(position)
        before = set(self.lanes.away())
        given_back = [piece for piece, _ in self.lanes.finished(taken, reply)]
        self._note_reply(taken, reply, before)
        if reply is Reply.UNANSWERED:
            self.waiting[taken.lane.shard].append(taken.item)
        else:
            self.ended[taken.item] += 1
            assert given_back == []
        self._leave(given_back)

    def _note_reply(self, taken: Taken[Piece], reply: Reply, before: set[str]) -> None:
        shard, after = taken.lane.shard, set(self.lanes.away())
        self.missed[shard] += reply is Reply.UNANSWERED
        if after - before:
            assert reply is Reply.UNANSWERED
            assert self.missed[shard] > 1 or self.lanes.away_servers()
        if before - after:
            assert reply is Reply.ANSWERED
            assert taken.is_probe or taken.is_server_probe
        if reply is Reply.ANSWERED:
            self.missed[shard] = 0

    @rule()
    def tend(self) -> None:
        """What is beyond their share leaves the lanes that are away."""
        self._leave([piece for piece, _ in self.lanes.shed()])
        away = self.lanes.away()
        assert sum(len(self.waiting[shard]) for shard in away) <= self.held

    def _leave(self, given_back: list[Piece]) -> None:
        for piece in given_back:
            (shard,) = (name for name in SHARDS if piece in self.waiting[name])
            self.waiting[shard].remove(piece)
        self.ended.update(given_back)

    @precondition(lambda self: self.lanes.held_away())
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        """Customers are placed elsewhere; perhaps all whose parts wait for a shard that is away."""
        held = self.lanes.held_away()
        everybody = data.draw(st.booleans())
        chosen = [piece for piece in held if everybody or data.draw(st.booleans())]
        assert sorted(self.lanes.withdraw(chosen)) == sorted(chosen)
        self._leave(chosen)

    @rule(seconds=st.sampled_from([0.1, 1.0, 6.0, 60.0]))
    def pass_time(self, seconds: float) -> None:
        """Cool-downs end, lanes get slow."""
        self.time.pass_time(seconds)

    @precondition(lambda self: not self.closed and len(self.accepted) > 60)
    @rule()
    def close(self) -> None:
        """The worker stops: what did not start comes back, once."""
        left = self.lanes.close()
        assert sorted(left) == sorted(item for items in self.waiting.values() for item in items)
        self.ended.update(left)
        self.waiting = {shard: [] for shard in SHARDS}
        self.closed = True

    @invariant()
    def nobody_runs_more_than_it_may(self) -> None:
        """A shard its limit, a server its own, and while they are away one probe."""
        for shard in SHARDS:
            assert len(self._running_on(shard)) <= self.limit
            assert sum(taken.is_probe for taken in self._running_on(shard)) <= 2
        for server in ("db1.", "db2."):
            assert len(self._running_on(server)) <= self.server_limit
            assert sum(taken.is_server_probe for taken in self._running_on(server)) <= 1

    @invariant()
    def nothing_is_lost_and_nothing_ends_twice(self) -> None:
        """Every accepted item waits, runs, or has ended once."""
        waiting = {item for items in self.waiting.values() for item in items}
        running = {taken.item for taken in self.running}
        assert self.lanes.waiting() == len(waiting)
        on_servers = sum(server.waiting for server in self.lanes._servers.values())
        assert self.closed or on_servers == len(waiting)
        assert self.accepted == waiting | running | set(self.ended)
        assert set(self.ended.values()) <= {1}

    def teardown(self) -> None:
        """Nothing starves: once every shard answers, all that waits is run, whatever went before."""
        while self.running:
            self.lanes.finished(self.running.pop(), Reply.ANSWERED)
        for _ in range(10 * self.lanes.waiting() + 10):
            self.time.pass_time(60)
            while self._is_ready():
                self.lanes.finished(take(self.lanes), Reply.ANSWERED)
        assert self.lanes.waiting() == 0


TestLanesMachine = LanesMachine.TestCase
TestLanesMachine.settings = settings(max_examples=200, stateful_step_count=50)
