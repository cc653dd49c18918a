"""Groups over whole lives of messages: two workers on one FIFO queue, leases end, heads go back, stops."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.memory_queue import MemoryPlace, MemoryTransport
from tests.support.sqs_fifo import FIFO_ATTRIBUTES, FifoQueue
from tests.support.sqs_queue import DEFAULT_ATTRIBUTES, SqsError, StoredMessage
from worker.groups import Groups
from worker.held import Held
from worker.transports.base import Delivery

LEASE_SECONDS: Final = 30
ROUNDS: Final = 300
WORKERS: Final = st.integers(0, 1)


class Place:
    """The queue, its time, and what was done of each group's messages."""

    def __init__(self) -> None:
        self.now = 0.0
        attributes = {**DEFAULT_ATTRIBUTES, **FIFO_ATTRIBUTES}
        self.queue = FifoQueue("orders.fifo", attributes, lambda: self.now)
        self.numbers = itertools.count()
        self.sent: dict[str, list[str]] = {}
        self.done: set[str] = set()

    def send(self, group: str) -> None:
        """Put one more message on the queue."""
        body = f"{group}{next(self.numbers)}"
        self.queue.send({"MessageBody": body, "MessageGroupId": group, "MessageDeduplicationId": body})
        self.sent.setdefault(group, []).append(body)


class Worker:
    """What runs, and what is on its way back to the queue; the latter goes out one by one."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.source = MemoryTransport(MemoryPlace(), "orders.fifo")
        self.in_hand: list[Held] = []
        self.running: list[Held] = []
        self.exits: list[Callable[[], None]] = []
        self.leaving: list[Held] = []
        self.unnoticed: list[Held] = []
        self.groups = Groups()
        self.groups.connect(self.start, lambda held, _code: self.give_back(held, 0))

    def receive(self, maximum: int) -> None:
        """As the receiver does."""
        messages = self.place.queue.receive(maximum, LEASE_SECONDS)
        received = [self.held(message) for message in messages]
        self.in_hand += received
        self.groups.put(received)

    def held(self, message: StoredMessage) -> Held:
        """The delivery of a message."""
        now = datetime.fromtimestamp(self.place.now, UTC)
        delivery = Delivery("", message.receipt, message.body, {}, message.receive_count, now, message.group)
        return Held(delivery, self.source, now, self.place.now, self.place.now + LEASE_SECONDS)

    def start(self, held: Held) -> None:
        """It is its turn: everything before it in its group has been done."""
        group, body = str(held.delivery.group), held.delivery.body
        before = self.place.sent[group][: self.place.sent[group].index(body)]
        assert set(before) <= self.place.done, f"{body} overtook {set(before) - self.place.done}"
        alike = [one for one in self.running if one.delivery.group == group and not one.lost.is_set()]
        assert not alike, "two of a group run at once"
        self.running.append(held)

    def finish(self, held: Held, *, kept: bool) -> None:
        """Its effect is committed; the next one's turn is now, or when its ack was accepted."""
        self.running.remove(held)
        self.place.done.add(held.delivery.body)
        if kept:
            self.groups.settled(held)
        receipt = held.delivery.receipt
        self.leave_later(held, lambda: self.place.queue.delete(receipt), settled=True)

    def give_back(self, held: Held, delay_seconds: int) -> None:
        """Let it come again; what is behind it goes back first."""
        self.groups.broken(held)
        receipt = held.delivery.receipt
        self.leave_later(
            held, lambda: self.place.queue.change_visibility(receipt, delay_seconds), settled=False
        )

    def leave_later(self, held: Held, call: Callable[[], None], *, settled: bool) -> None:
        """One is on its way out of hand."""
        self.leaving.append(held)
        self.exits.append(lambda: self.leave(held, call, settled=settled))

    def leave(self, held: Held, call: Callable[[], None], *, settled: bool) -> None:
        """One is out of hand, if need be without the queue's consent."""
        try:
            if not held.lost.is_set():
                call()
        except SqsError:
            held.lost.set()
        self.in_hand.remove(held)
        self.leaving.remove(held)
        (self.groups.settled if settled and not held.lost.is_set() else self.groups.broken)(held)

    def waiting(self) -> list[Held]:
        """What waits behind a head."""
        return [held for line in self.groups._lines.values() for held in list(line)[1:]]

    def flush(self, count: int) -> None:
        """Let so many leave, in order."""
        for _ in range(min(count, len(self.exits))):
            self.exits.pop(0)()

    def extend(self, kept: list[Held]) -> None:
        """Keep these leases."""
        for held in kept:
            if not held.lost.is_set():
                self.place.queue.change_visibility(held.delivery.receipt, LEASE_SECONDS)

    def lose(self, lost: list[Held]) -> None:
        """These leases ended; the lease keeper tells of them one by one."""
        for held in lost:
            held.lost.set()
        self.unnoticed += lost

    def notice(self) -> None:
        """The lease keeper tells of what it found."""
        while self.unnoticed:
            self.groups.broken(self.unnoticed.pop(0))


class Lives(RuleBasedStateMachine):
    """Whatever happens, no message of a group starts before those before it are done, nor two at once."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Place()
        self.workers = [Worker(self.place), Worker(self.place)]

    @initialize(groups=st.lists(st.sampled_from("ab"), min_size=4, max_size=12))
    def begin(self, groups: list[str]) -> None:
        """Some messages are there, and the first worker has polled."""
        for group in groups:
            self.place.send(group)
        self.workers[0].receive(10)

    @rule(group=st.sampled_from("ab"), count=st.integers(1, 4))
    def send(self, group: str, count: int) -> None:
        """Messages come."""
        for _ in range(count):
            self.place.send(group)

    @rule(worker=WORKERS, maximum=st.integers(1, 10))
    def receive(self, worker: int, maximum: int) -> None:
        """A worker polls."""
        self.workers[worker].receive(maximum)

    @rule(worker=WORKERS, kept=st.booleans(), data=st.data())
    def finish(self, worker: int, kept: bool, data: st.DataObject) -> None:  # noqa: FBT001 (hypothesis calls it)
        """A head ends, in the inbox or refused."""
        if running := self.workers[worker].running:
            self.workers[worker].finish(data.draw(st.sampled_from(running)), kept=kept)

    @rule(worker=WORKERS, delay_seconds=st.sampled_from([0, 20]), data=st.data())
    def go_back(self, worker: int, delay_seconds: int, data: st.DataObject) -> None:
        """A head goes back."""
        if running := self.workers[worker].running:
            held = data.draw(st.sampled_from(running))
            running.remove(held)
            self.workers[worker].give_back(held, delay_seconds)

    @rule(worker=WORKERS, data=st.data())
    def wait_for_long(self, worker: int, data: st.DataObject) -> None:
        """A head's shard is away."""
        if running := self.workers[worker].running:
            head = data.draw(st.sampled_from(running))
            self.workers[worker].groups.send_back_behind([head])
            assert not [
                one for one in self.workers[worker].waiting() if one.delivery.group == head.delivery.group
            ]

    @rule(worker=WORKERS, count=st.integers(1, 5))
    def flush(self, worker: int, count: int) -> None:
        """Some acks and releases reach the queue."""
        self.workers[worker].flush(count)

    @rule(data=st.data(), some_lost=st.booleans())
    def let_time_pass(self, data: st.DataObject, some_lost: bool) -> None:  # noqa: FBT001 (as above)
        """Half a minute and more; some leases are not kept."""
        for worker in self.workers:
            worker.extend(worker.in_hand)
        self.place.now += LEASE_SECONDS / 2
        for worker in self.workers:
            held = [one for one in worker.in_hand if not one.lost.is_set()]
            kept = data.draw(st.sets(st.sampled_from(held))) if held and some_lost else set(held)
            worker.extend([one for one in held if one in kept])
            worker.lose(data.draw(st.permutations([one for one in held if one not in kept])))
        self.place.now += LEASE_SECONDS / 2 + 1

    @rule(worker=WORKERS)
    def notice(self, worker: int) -> None:
        """The lease keeper has its turn."""
        self.workers[worker].notice()

    @invariant()
    def none_is_forgotten(self) -> None:
        """What is in hand runs, waits for its turn or is on its way out."""
        for worker in self.workers:
            accounted = worker.running + worker.leaving + worker.waiting()
            assert sorted(map(id, accounted)) == sorted(map(id, worker.in_hand))

    @rule(worker=WORKERS)
    def restart(self, worker: int) -> None:
        """A worker drains: what did not start goes back, what runs ends; another takes its place."""
        leaving = self.workers[worker]
        leaving.groups.stop()
        assert not leaving.waiting()
        for held in list(leaving.running):
            leaving.finish(held, kept=True)
        assert not leaving.running, "a stopped worker started something"
        leaving.flush(len(leaving.exits))
        assert not leaving.in_hand
        self.workers[worker] = Worker(self.place)

    def teardown(self) -> None:
        """In the end everything is done, and nothing is left on the queue."""
        for _ in range(ROUNDS):
            for worker in self.workers:
                worker.receive(10)
                for held in list(worker.running):
                    worker.finish(held, kept=False)
                worker.flush(len(worker.exits))
                worker.notice()
            self.place.now += 1
        assert not self.place.queue.messages
        assert self.place.done == {body for bodies in self.place.sent.values() for body in bodies}


TestLives = Lives.TestCase
TestLives.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)
