"""The embedded queue against a model of one with leases: two consumers' calls in any order, and time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.fakes import ManualTime
from worker.transports.base import Attribute, Delivery, Faults, Message, Transport
from worker.transports.limits import BATCH_COUNT_MAXIMUM
from worker.transports.pacing import LONGEST_PAUSE_SECONDS

OpenQueue = Callable[[str, ManualTime], Transport]
"""Opens a queue by its name, with its time; the first call finds an empty place."""

CONSUMERS = (0, 1)
LEASE_SECONDS = st.sampled_from([1, 5, 60])
WAIT_SECONDS = st.sampled_from([0, 0, 3])
DELAYS = st.sampled_from([0, 0, 2, 900])
RELEASE_DELAYS = st.sampled_from([0, 4, 3600])
GROUPS = st.sampled_from([None, "acme"])
ATTRIBUTES = st.sampled_from([{}, {"type": Attribute("String", "ü")}, {"raw": Attribute("Binary", b"\0")}])


@dataclass
class Queued:
    """A message of the model. `receipt` is its latest receive's; None if it never came, or was released."""

    message: Message
    number: int
    sent_at: float
    visible_at: float
    receive_count: int = 0
    receipt: str | None = None

    def is_leased(self, now: float) -> bool:
        """Whether a consumer holds it."""
        return self.receipt is not None and self.visible_at > now


class Model:
    """What a queue with leases does, as simply as it can be said. Bodies are unique and name the messages."""

    def __init__(self) -> None:
        self.messages: dict[str, Queued] = {}

    def send(self, message: Message, number: int, now: float) -> None:
        """It waits, after its delay."""
        visible_at = now + message.delay.total_seconds()
        self.messages[message.body] = Queued(message, number, now, visible_at)

    def visible(self, now: float) -> list[Queued]:
        """What can be received, first of all what has been visible for longest."""
        found = [queued for queued in self.messages.values() if queued.visible_at <= now]
        return sorted(found, key=lambda queued: (queued.visible_at, queued.number))

    def takes(self, maximum: int, now: float) -> list[Queued]:
        """What a receive brings: those that have been visible for longest, in the order of their arrival."""
        return sorted(self.visible(now)[: min(maximum, 10)], key=lambda queued: queued.number)

    def ack(self, delivery: Delivery) -> bool:
        """Whether it is gone now: nobody may have received it since, a lease that merely ran out counts."""
        queued = self.messages.get(delivery.body)
        if queued is not None and queued.receipt != delivery.receipt:
            return False
        self.messages.pop(delivery.body, None)
        return True

    def held(self, delivery: Delivery, now: float) -> Queued | None:
        """The message, if this very delivery still holds it."""
        queued = self.messages.get(delivery.body)
        ours = queued is not None and queued.receipt == delivery.receipt and queued.is_leased(now)
        return queued if ours else None

    def depth(self, now: float) -> tuple[int, int, int]:
        """How many wait, are leased and are delayed."""
        leased = sum(queued.is_leased(now) for queued in self.messages.values())
        waiting = len(self.visible(now))
        return waiting, leased, len(self.messages) - waiting - leased


class QueueMachine(RuleBasedStateMachine):
    """Two consumers of one queue, who keep every delivery that they ever got, and one of its neighbour."""

    def __init__(self, open_queue: OpenQueue) -> None:
        super().__init__()
        self.time = ManualTime()
        self._open = open_queue
        self.consumers = [open_queue("requests", self.time) for _ in CONSUMERS]
        self.consumers[0].create()
        self.neighbour = open_queue("neighbour", self.time)
        assert self.neighbour.send([Message("another queue's")]) == {}
        self.model = Model()
        self.deliveries: list[Delivery] = []
        self.acked: set[str] = set()
        self.count = 0

    @property
    def now(self) -> float:
        """The moment."""
        return self.time.seconds

    @rule(count=st.integers(1, 12), delay=DELAYS, group=GROUPS, attributes=ATTRIBUTES)
    def send(self, count: int, delay: int, group: str | None, attributes: dict[str, Attribute]) -> None:
        """A batch of any size."""
        assert self.consumers[0].send(self._messages(count, delay, group, attributes)) == {}

    @rule(delay=DELAYS)
    def send_what_is_refused_among_others(self, delay: int) -> None:
        """An entry that no queue takes does not keep the others from being taken."""
        first, last = self._messages(2, delay, None, {})
        faults = self.consumers[1].send([first, Message(""), last])
        assert [(position, fault.final) for position, fault in faults.items()] == [(1, True)]

    def _messages(
        self, count: int, delay: int, group: str | None, attributes: dict[str, Attribute]
    ) -> list[Message]:
        """New messages, which the model has sent already."""
        numbers = range(self.count, self.count + count)
        self.count += count
        messages = [Message(f"{number}", attributes, timedelta(seconds=delay), group) for number in numbers]
        for number, message in zip(numbers, messages, strict=True):
            self.model.send(message, number, self.now)
        return messages

    @rule(
        consumer=st.sampled_from(CONSUMERS),
        maximum=st.integers(1, 12),
        wait=WAIT_SECONDS,
        lease=LEASE_SECONDS,
    )
    def receive(self, consumer: int, maximum: int, wait: int, lease: int) -> None:
        """What comes is nobody's; nothing that could come stays away, and no longer than the wait."""
        self._receive(consumer, maximum, wait, lease)

    def _receive(self, consumer: int, maximum: int, wait: int, lease: int) -> None:
        began, could_come = self.now, self.model.visible(self.now)
        taken = self.consumers[consumer].receive(maximum, timedelta(seconds=wait), timedelta(seconds=lease))
        waited = self.now - began
        assert not {one.body for one in taken} & self.acked, "an acked message came again"
        assert not [one for one in taken if self.model.messages[one.body].is_leased(self.now)], (
            "a message was delivered to two"
        )
        expected = self.expected(taken, maximum)
        assert [one.body for one in taken] == [queued.message.body for queued in expected]
        self._check_wait(waited, wait, could_come=bool(could_come), came=bool(taken))
        for delivery, queued in zip(taken, expected, strict=True):
            queued.visible_at, queued.receipt = self.now + lease, delivery.receipt
            queued.receive_count += 1
            self._check_delivery(delivery, queued)
        self.deliveries += taken

    def expected(self, taken: Sequence[Delivery], maximum: int) -> list[Queued]:
        """What a receive brings, in its order."""
        del taken
        return self.model.takes(maximum, self.now)

    def _check_wait(self, waited: float, wait: int, *, could_come: bool, came: bool) -> None:
        if could_come:
            assert waited == 0
        elif came:
            late = self.now - LONGEST_PAUSE_SECONDS - 1e-6
            assert not self.model.visible(late), "a message that had become visible was not seen"
        else:
            assert abs(waited - wait) < 1e-6

    def _check_delivery(self, delivery: Delivery, queued: Queued) -> None:
        assert delivery.receive_count == queued.receive_count
        assert delivery.receipt not in {one.receipt for one in self.deliveries if one.body == delivery.body}
        assert delivery.sent_at == datetime.fromtimestamp(queued.sent_at, UTC)
        assert (delivery.group, delivery.attributes) == (queued.message.group, queued.message.attributes)

    def _some(self, data: st.DataObject) -> list[Delivery]:
        """Any deliveries of any time: with leases that hold, ran out, were given away or ended by an ack."""
        return data.draw(st.lists(st.sampled_from(self.deliveries), min_size=1, max_size=6, unique_by=id))

    @precondition(lambda self: self.deliveries)
    @rule(consumer=st.sampled_from(CONSUMERS), data=st.data())
    def ack(self, consumer: int, data: st.DataObject) -> None:
        """Of each message only its latest delivery can be acked."""
        batch = self._some(data)
        faults = self.consumers[consumer].ack(batch)
        gone = [self.model.ack(delivery) for delivery in batch]
        self._check_faults(faults, gone)
        self.acked.update(one.body for one, is_gone in zip(batch, gone, strict=True) if is_gone)

    @precondition(lambda self: self.deliveries)
    @rule(consumer=st.sampled_from(CONSUMERS), data=st.data(), lease=LEASE_SECONDS)
    def extend(self, consumer: int, data: st.DataObject, lease: int) -> None:
        """From now on, and only what is held."""
        batch = self._some(data)
        faults = self.consumers[consumer].extend(batch, timedelta(seconds=lease))
        held = [self.model.held(delivery, self.now) for delivery in batch]
        self._check_faults(faults, [queued is not None for queued in held])
        for queued in held:
            if queued is not None:
                queued.visible_at = self.now + lease

    @precondition(lambda self: self.deliveries)
    @rule(consumer=st.sampled_from(CONSUMERS), data=st.data())
    def release(self, consumer: int, data: st.DataObject) -> None:
        """Each after its own delay, and only what is held."""
        batch = [(delivery, data.draw(RELEASE_DELAYS)) for delivery in self._some(data)]
        faults = self.consumers[consumer].release(
            [(delivery, timedelta(seconds=delay)) for delivery, delay in batch]
        )
        held = [self.model.held(delivery, self.now) for delivery, _ in batch]
        self._check_faults(faults, [queued is not None for queued in held])
        for queued, (_, delay) in zip(held, batch, strict=True):
            if queued is not None:
                queued.visible_at, queued.receipt = self.now + delay, None

    @staticmethod
    def _check_faults(faults: Faults, done: Sequence[bool]) -> None:
        assert sorted(faults) == [position for position, is_done in enumerate(done) if not is_done]
        assert all(fault.lost for fault in faults.values())

    @rule(seconds=st.sampled_from([0.5, 1, 5, 60, 1000]))
    def pass_time(self, seconds: float) -> None:
        """Delays and leases end."""
        self.time.pass_time(seconds)

    @rule(consumer=st.sampled_from(CONSUMERS))
    def begin_anew(self, consumer: int) -> None:
        """A consumer's process ends and another begins: all there is lies in the table."""
        self.consumers[consumer].close()
        self.consumers[consumer] = self._open("requests", self.time)

    @invariant()
    def everybody_sees_the_same_queue(self) -> None:
        """What waits, in its order; how many are leased and delayed."""
        looking, counting = self.consumers
        seen = [(one.body, one.receive_count) for one in looking.browse(10_000)]
        assert seen == [(one.message.body, one.receive_count) for one in self.model.visible(self.now)]
        assert counting.depth() == self.model.depth(self.now)

    def teardown(self) -> None:
        """What was sent and never acked is all still there: nothing vanishes, nothing comes twice."""
        assert self.neighbour.depth() == (1, 0, 0)
        self.time.pass_time(24 * 3600)
        left: list[str] = []
        while taken := self.consumers[0].receive(BATCH_COUNT_MAXIMUM, timedelta(), timedelta(hours=1)):
            left += [delivery.body for delivery in taken]
        for transport in [*self.consumers, self.neighbour]:
            transport.close()
        assert sorted(left) == sorted(self.model.messages)
        assert not self.acked & set(left)


def passing(time: ManualTime) -> Callable[[Event, float], bool]:
    """A pause that takes no time but the model's."""

    def pause(event: Event, seconds: float, /) -> bool:
        time.pass_time(seconds)
        return event.is_set()

    return pause
