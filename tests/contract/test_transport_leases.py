"""What every transport promises about leases: they hold, they end, and a lost one is told."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.queue_backends import Backend
from tests.support.receiving import NO_WAIT, bodies, come, send_bodies, take, take_all
from worker.transports.base import Delivery, Faults, Transport

SHORT = timedelta(seconds=1)
LONG = timedelta(seconds=30)


def lost(faults: Faults) -> list[int]:
    return sorted(position for position, fault in faults.items() if fault.lost)


def test_a_leased_message_is_hidden_from_everybody_else(queue: Transport, backend: Backend) -> None:
    """Nobody receives it, also not its holder."""
    send_bodies(queue, "held")
    assert len(take(queue)) == 1
    assert take(queue) == []
    assert take(backend.open()) == []


def test_a_message_whose_lease_ends_comes_back_counted(queue: Transport, backend: Backend) -> None:
    """Its receive count grows with each receive, and its receipt is another."""
    send_bodies(queue, "a")
    (first,) = take(queue, lease=SHORT)
    backend.pass_time(1.1)
    (second,) = take(queue, lease=SHORT)
    assert (first.receive_count, second.receive_count) == (1, 2)
    assert first.message_id == second.message_id
    assert first.receipt != second.receipt


def test_a_receive_that_waits_wakes_when_a_lease_ends(queue: Transport) -> None:
    """Time alone brings the message: nobody has to send anything."""
    send_bodies(queue, "a")
    take(queue, lease=SHORT)
    assert bodies(queue.receive(10, timedelta(seconds=20), LONG)) == ["a"]


def test_an_acked_message_never_comes_back(queue: Transport, backend: Backend) -> None:
    """And acking it once more is no fault."""
    send_bodies(queue, "done")
    deliveries = take(queue, lease=SHORT)
    assert queue.ack(deliveries) == {}
    backend.pass_time(1.1)
    assert take(queue) == []
    assert queue.ack(deliveries) == {}


@pytest.mark.not_on("amqp", why="a lease that ends is noticed at once: the message is given back")
def test_a_message_whose_lease_ended_unnoticed_can_still_be_acked(queue: Transport, backend: Backend) -> None:
    """As long as nobody received it again: the work is done, so it must not be done twice."""
    send_bodies(queue, "late")
    deliveries = take(queue, lease=SHORT)
    backend.pass_time(1.1)
    assert queue.ack(deliveries) == {}
    assert take(queue) == []


def test_an_extended_lease_holds_from_the_moment_of_extension(queue: Transport, backend: Backend) -> None:
    """The message stays hidden beyond its first lease, and comes back after the second."""
    send_bodies(queue, "slow")
    deliveries = take(queue, lease=timedelta(seconds=2))
    assert queue.extend(deliveries, timedelta(seconds=3)) == {}
    backend.pass_time(2.1)
    assert take(queue) == []
    backend.pass_time(1.1)
    assert bodies(take(queue)) == ["slow"]


def test_a_released_message_is_there_at_once(queue: Transport) -> None:
    """With no delay, the next receive brings it, counted."""
    send_bodies(queue, "back")
    (delivery,) = take(queue)
    assert queue.release([(delivery, NO_WAIT)]) == {}
    (again,) = take(queue)
    assert (again.body, again.receive_count) == ("back", 2)


def test_released_messages_come_back_each_after_its_own_delay(queue: Transport, backend: Backend) -> None:
    """One batch may hold many delays."""
    send_bodies(queue, "0", "1", "2")
    delays = {"0": 0, "1": 1, "2": 60}
    deliveries = take_all(queue, 3)
    released = [(delivery, timedelta(seconds=delays[delivery.body])) for delivery in deliveries]
    assert queue.release(released) == {}
    assert bodies(take(queue)) == ["0"]
    backend.pass_time(1.1)
    assert bodies(come(queue)) == ["1"]


@pytest.mark.parametrize("beyond", [timedelta(hours=12), timedelta(days=9)])
def test_a_release_beyond_the_longest_delay_is_released_for_that(queue: Transport, beyond: timedelta) -> None:
    """The message is hidden, and the call is no fault."""
    send_bodies(queue, "much later")
    (delivery,) = take(queue)
    assert queue.release([(delivery, beyond)]) == {}
    assert take(queue) == []


def test_one_bad_receipt_spoils_nothing_for_the_others(queue: Transport) -> None:
    """A receipt that was never given is the one fault of its batch."""
    send_bodies(queue, "a", "b", "c")
    deliveries = take_all(queue, 3)
    deliveries[1] = replace(deliveries[1], receipt="never-given")
    assert lost(queue.extend(deliveries, LONG)) == [1]
    assert lost(queue.ack(deliveries)) == [1]
    assert queue.depth().leased == 1


@pytest.mark.not_on("sqs-moto", why="it extends and releases a message that is not in flight any more")
def test_a_lease_that_ran_out_is_lost(queue: Transport, backend: Backend) -> None:
    """It can be neither extended nor released, although nobody took the message yet."""
    send_bodies(queue, "a")
    deliveries = take(queue, lease=SHORT)
    backend.pass_time(1.1)
    assert lost(queue.extend(deliveries, LONG)) == [0]
    assert lost(queue.release([(deliveries[0], LONG)])) == [0]
    assert bodies(take(queue)) == ["a"]


def test_the_lease_of_an_acked_message_is_lost(queue: Transport) -> None:
    """There is nothing left to hold."""
    send_bodies(queue, "a", "b")
    gone, held = take_all(queue, 2)
    queue.ack([gone])
    assert lost(queue.extend([gone, held], LONG)) == [0]


@pytest.mark.not_on("sqs-moto", why="an old receipt of a message deletes it, and changes its visibility")
def test_a_message_that_was_received_again_belongs_to_its_new_holder(
    queue: Transport, backend: Backend
) -> None:
    """The old receipt neither extends nor releases, and an ack with it deletes nothing."""
    send_bodies(queue, "a")
    old = take(queue, lease=SHORT)
    backend.pass_time(1.1)
    new = take(queue)
    assert lost(queue.extend(old, LONG)) == [0]
    assert lost(queue.release([(old[0], NO_WAIT)])) == [0]
    assert take(queue) == []
    queue.ack(old)
    assert queue.depth().leased == 1
    assert queue.extend(new, LONG) == {}
    assert queue.ack(new) == {}


@pytest.mark.not_on("sqs-moto", why="concurrent deletes and receives lose updates")
def test_many_threads_share_a_queue_and_each_message_goes_to_one(queue: Transport, backend: Backend) -> None:
    """Threads of one transport and of another handle 400 messages once each."""
    other = backend.open()
    sent = sorted(f"message {number:03}" for number in range(400))
    handled: list[Delivery] = []
    with ThreadPoolExecutor(14) as threads:
        for start in range(0, 400, 50):
            threads.submit(send_bodies, queue, *sent[start : start + 50])
        at_work = [threads.submit(handle_until, each, 400, handled) for each in (queue, other) * 3]
    assert [future.result() for future in at_work] == [None] * 6
    assert bodies(handled) == sent
    assert sum(queue.depth()) == 0


def handle_until(queue: Transport, count: int, handled: list[Delivery]) -> None:
    """Handle what comes until so many were handled by all together."""
    deadline = time.monotonic() + 60
    while len(handled) < count:
        assert time.monotonic() < deadline, f"only {len(handled)} of {count} came"
        received = queue.receive(10, timedelta(seconds=0.2), LONG)
        assert queue.ack(received) == {}
        handled += received
