"""The receiver: no more than there is room for, leased at once, gentle with a queue in trouble."""

import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.support.fakes import NOON, ManualTime, QuickStop
from tests.support.memory_queue import MemoryPlace, away, no_faults
from worker.held import Held, Room
from worker.leases import Leases
from worker.receiver import Polling, Receiver
from worker.transports.base import Delivery, Faults, Message, TransportError

LEASE = timedelta(seconds=60)
POLLING = Polling(LEASE)


class Desk:
    """A receiver over a queue in memory; it stops when `stop_after` messages were handed over."""

    def __init__(
        self,
        capacity: int = 100,
        stop_after: int = 10**9,
        stop: QuickStop | None = None,
        polling: Polling = POLLING,
        queues: int = 1,
    ) -> None:
        self.time = ManualTime()
        self.place = MemoryPlace(clock=lambda: self.time.seconds)
        self.queue = self.place.transport("requests")
        self.stop = stop or QuickStop()
        self.room = Room(capacity, None, lambda: None, lambda: None, queues)
        self.leases = Leases(LEASE.total_seconds(), self.time.clock)
        self.handed: list[Held] = []
        self._stop_after = stop_after
        self.receiver = Receiver(
            self.queue, polling, self.room, self.leases, self.hand_over, self.time.clock, self.stop
        )

    def hand_over(self, held: list[Held]) -> None:
        """Take what came."""
        self.handed += held
        if len(self.handed) >= self._stop_after:
            self.stop.set()

    def send(self, count: int) -> None:
        """Put messages on the queue."""
        assert not self.queue.send([Message(str(number)) for number in range(count)])


def bodies(held: list[Held]) -> list[str]:
    return [one.delivery.body for one in held]


def test_what_came_is_handed_over_in_order_and_leased() -> None:
    """Every delivery is in the lease keeper's care before anybody works on it."""
    desk = Desk(stop_after=25)
    desk.send(25)
    desk.receiver.run()

    assert bodies(desk.handed) == [str(number) for number in range(25)]
    assert desk.leases.in_hand() == desk.handed
    assert desk.room.taken == 25


def asked_by(desk: Desk) -> list[int]:
    """How many messages each of the receiver's polls asked for, until it stopped."""
    asked: list[int] = []

    def note(_action: str, batch: Sequence[object]) -> Faults:
        asked.append(len(batch))
        return {}

    desk.queue.interfere = note
    desk.receiver.run()
    return asked


def test_only_free_places_are_asked_for() -> None:
    """With room for four more, four are asked for."""
    desk = Desk(capacity=14, stop_after=14)
    desk.send(20)

    assert asked_by(desk) == [10, 4]


def test_no_more_is_asked_for_than_one_receive_may_bring() -> None:
    """However much room there is."""
    desk = Desk(stop_after=7, polling=Polling(LEASE, fetch_size=3))
    desk.send(8)

    assert asked_by(desk) == [3, 3, 3]
    assert len(desk.handed) == 8


def test_a_pause_comes_only_after_a_receive_that_brought_nothing() -> None:
    """While there is something, it is fetched at once."""
    stop = QuickStop(after=2)
    desk = Desk(stop=stop, polling=Polling(timedelta(seconds=0.03), sleep=timedelta(seconds=3)))
    desk.send(25)
    desk.receiver.run()

    assert len(desk.handed) == 25
    assert stop.waits == [3.0, 3.0]


def test_a_lease_counts_from_before_the_poll() -> None:
    """A poll that waited nine seconds for its message: the lease ends as if it had come at once."""
    desk = Desk(stop_after=1)
    desk.send(1)
    started = desk.time.seconds

    def slow(action: str, _batch: Sequence[object]) -> Faults:
        if action == "receive":
            desk.time.pass_time(9)
        return {}

    desk.queue.interfere = slow
    desk.receiver.run()
    (held,) = desk.handed

    assert held.expires_at == started + LEASE.total_seconds()
    assert (held.started_at, held.received_at) == (started + 9, NOON + timedelta(seconds=9))


def test_a_queue_that_is_away_is_asked_again_after_a_growing_back_off() -> None:
    """And with no place in the room taken meanwhile; each failure is told."""
    desk = Desk(stop=QuickStop(after=4))
    desk.queue.interfere = away
    with capture_logs() as lines:
        desk.receiver.run()

    assert desk.stop.waits == [0.5, 1.0, 2.0, 4.0]
    assert [(line["event"], line["tries"], line["delay_ms"]) for line in lines] == [
        ("receive.failed", 1, 500),
        ("receive.failed", 2, 1000),
        ("receive.failed", 3, 2000),
        ("receive.failed", 4, 4000),
    ]
    assert (desk.room.taken, desk.room.reserve(100, 0)) == (0, 100)


def test_the_back_off_begins_anew_after_a_receive_that_went_well() -> None:
    """One good answer, and the queue is back."""
    desk = Desk(stop_after=2)
    desk.send(1)
    answers = iter([away, away, no_faults, away])

    def interfere(action: str, batch: Sequence[object]) -> Faults:
        if action == "receive":
            return next(answers, no_faults)(action, batch)
        return {}

    def hand_over_and_send(held: list[Held]) -> None:
        desk.send(1)
        desk.hand_over(held)

    desk.queue.interfere = interfere
    desk.receiver._hand_over = hand_over_and_send
    desk.receiver.run()

    assert desk.stop.waits == [0.5, 1.0, 0.5]


def test_what_a_late_poll_brings_after_the_stop_is_given_back_at_once() -> None:
    """It is neither handed over nor counted, and another worker can have it now."""
    desk = Desk()
    desk.send(3)

    def stop_meanwhile(_action: str, _batch: Sequence[object]) -> Faults:
        desk.stop.set()
        return {}

    desk.queue.interfere = stop_meanwhile
    with capture_logs() as lines:
        desk.receiver.run()

    assert (desk.handed, desk.leases.in_hand(), desk.room.taken) == ([], [], 0)
    assert desk.room.reserve(100, 0) == 100
    assert desk.queue.depth().waiting == 3
    assert [(line["event"], line["count"]) for line in lines] == [("receive.given_back", 3)]


def test_a_late_poll_whose_messages_cannot_be_given_back_frees_its_places() -> None:
    """They come back when their lease ends; the worker can leave."""
    emptied = threading.Event()
    desk = Desk()
    desk.room._on_empty = emptied.set
    desk.send(1)

    def stop_and_break(action: str, batch: Sequence[object]) -> Faults:
        desk.stop.set()
        return {} if action == "receive" else away(action, batch)

    desk.queue.interfere = stop_and_break
    desk.receiver.run()
    desk.room.close()

    assert emptied.is_set()


@pytest.mark.parametrize("error", [RuntimeError("a defect"), MemoryError()])
def test_the_places_of_a_poll_that_fails_unexpectedly_are_free_again(error: Exception) -> None:
    """The thread ends and with it the process; its drain must not wait for places that nobody holds."""
    desk = Desk()

    def interfere(_action: str, _batch: Sequence[object]) -> Faults:
        raise error

    desk.queue.interfere = interfere
    with pytest.raises(type(error)):
        desk.receiver.run()

    assert desk.room.reserve(100, 0) == 100


def test_a_server_that_says_at_once_that_it_has_nothing_is_not_asked_without_end() -> None:
    """It was told to wait, and may be no queue at all; one that waited is asked again at once."""
    desk = Desk(stop=QuickStop(after=3))
    polled_seconds = iter([0.0, 20.0, 0.0, 0.15])

    def answer(_maximum: int, _wait: timedelta, _lease: timedelta) -> list[Delivery]:
        desk.time.pass_time(next(polled_seconds))
        return []

    desk.queue.receive = answer  # type: ignore[assignment, method-assign]
    desk.receiver.run()

    assert desk.stop.waits == [0.2, 0.2, pytest.approx(0.05)]


def test_a_receiver_ends_when_the_room_is_closed() -> None:
    """No further poll is begun."""
    desk = Desk()
    desk.room.close()
    desk.queue.interfere = away
    desk.receiver.run()

    assert desk.stop.waits == []


def test_what_came_bears_the_place_of_its_queue_in_the_order() -> None:
    """And fills the places that are that queue's."""
    desk = Desk(capacity=10, stop_after=3, polling=Polling(LEASE, priority=1), queues=2)
    desk.send(3)
    desk.receiver.run()

    assert [held.priority for held in desk.handed] == [1, 1, 1]
    assert desk.room.reserve(10, 0, priority=0) == 5


@pytest.mark.parametrize(("capacity", "seconds"), [(1, 1), (2, 20)])
def test_a_poll_that_keeps_another_queue_waiting_is_short(capacity: int, seconds: int) -> None:
    """There are fewer places than queues: this one's may bring nothing, and the other's much."""
    desk, waits = Desk(capacity, stop=QuickStop(after=1), queues=2), list[float]()
    desk.receiver._wait = timedelta(seconds=20)

    def receive(_maximum: int, wait: timedelta, _lease: timedelta) -> list[Delivery]:
        waits.append(wait.total_seconds())
        return []

    desk.queue.receive = receive  # type: ignore[assignment, method-assign]
    desk.receiver.run()

    assert waits == [seconds]


def test_a_poll_is_short_beside_its_lease() -> None:
    """With a lease of six seconds, a poll waits for two."""
    place = MemoryPlace()
    queue = place.transport("requests")
    waits: list[timedelta] = []

    class Watched:
        """The queue, and how long it was asked to wait."""

        name, wait_maximum = queue.name, queue.wait_maximum

        def receive(self, _maximum: int, wait: timedelta, _lease: timedelta) -> list[object]:
            """Note the wait and end the receiver."""
            waits.append(wait)
            stop.set()
            raise TransportError("enough")

    stop = QuickStop()
    time = ManualTime()
    room = Room(1, None, lambda: None, lambda: None)
    lease = timedelta(seconds=6)
    leases = Leases(6, time.clock)
    watched = Watched()
    Receiver(watched, Polling(lease), room, leases, lambda _: None, time.clock, stop).run()  # type: ignore[arg-type]

    assert waits == [timedelta(seconds=2)]
