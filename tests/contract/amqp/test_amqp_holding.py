"""What RabbitMQ does that no other queue does: connections that end, timeouts, alarms, what it pushes."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.support.queue_backends import ShiftedClock
from tests.support.rabbitmq import RabbitServer
from tests.support.receiving import LEASE, NO_WAIT, bodies, come_all, send_bodies, take, take_all
from tests.support.world import wait_until
from worker.transports.addresses import AmqpAddress
from worker.transports.amqp import AmqpTransport
from worker.transports.amqp_connections import open_connection
from worker.transports.amqp_consumer import Consumer
from worker.transports.base import (
    Attribute,
    Delivery,
    Depth,
    Faults,
    Message,
    QueueMissing,
    Transport,
    TransportError,
)

SECOND = timedelta(seconds=1)
Open = Callable[..., AmqpTransport]

CLOSE_ALL = "rabbit_networking:close_connections(rabbit_networking:local_connections(), [])"
HALF_AN_HOUR_MS = 1_800_000
MEMORY = "{resource_limit, memory, node()}"


def lost(faults: Faults) -> list[int]:
    return sorted(position for position, fault in faults.items() if fault.lost)


def receive_again(queue: Transport) -> list[Delivery]:
    """What comes after the broker has ended a connection; the receive that finds that out may fail."""
    received: list[Delivery] = []

    def came() -> bool:
        try:
            received.extend(queue.receive(10, SECOND, LEASE))
        except TransportError:
            return False
        return bool(received)

    wait_until(came, "a message after the connection's end")
    return received


def refuses(queue: Transport) -> bool:
    """Whether a send fails for the broker's alarm; each connection is told of it a moment later."""
    try:
        queue.send([Message("now")])
    except TransportError as error:
        return "memory or disk alarm" in str(error)
    return False


def assert_lost(queue: Transport, old: list[Delivery]) -> None:
    assert lost(queue.extend(old, LEASE)) == [0]
    assert lost(queue.release([(old[0], NO_WAIT)])) == [0]
    assert lost(queue.release([(old[0], SECOND)])) == [0]
    assert lost(queue.ack(old)) == [0]


def test_what_an_ended_connection_brought_is_lost_and_comes_again(
    queue: AmqpTransport, rabbitmq: RabbitServer
) -> None:
    """Its receipts neither ack nor release what somebody else may hold; the new one's do."""
    send_bodies(queue, "a")
    old = take(queue)
    rabbitmq.evaluate(CLOSE_ALL)
    new = receive_again(queue)
    assert [delivery.receive_count for delivery in new] == [2]
    assert_lost(queue, old)
    assert queue.extend(new, LEASE) == {}
    assert queue.ack(new) == {}
    assert take(queue) == []
    assert queue.depth() == (0, 0, 0)


def test_what_the_broker_takes_back_after_its_own_timeout_is_lost_and_comes_again(
    queue: AmqpTransport, rabbitmq: RabbitServer
) -> None:
    """An operator may have set it to less than half an hour: the channel's end is survived."""
    rabbitmq.evaluate("application:set_env(rabbit, consumer_timeout, 200)")
    try:
        send_bodies(queue, "a")
        old = take(queue)
        wait_until(lambda: lost(queue.extend(old, LEASE)) == [0], "the end of the channel")
    finally:
        rabbitmq.evaluate(f"application:set_env(rabbit, consumer_timeout, {HALF_AN_HOUR_MS})")
    assert bodies(receive_again(queue)) == ["a"]
    assert_lost(queue, old)


def test_what_nears_the_brokers_timeout_is_given_back_before(
    queue: AmqpTransport, clock: ShiftedClock
) -> None:
    """It comes again with the whole time before it, and joins the job that runs; what came later stays."""
    send_bodies(queue, "slow")
    (slow,) = take(queue, lease=timedelta(hours=1))
    clock.pass_time(timedelta(minutes=27).total_seconds())
    assert queue.extend([slow], timedelta(hours=1)) == {}
    send_bodies(queue, "new")
    (new,) = take(queue, lease=timedelta(hours=1))
    clock.pass_time(timedelta(minutes=1).total_seconds())
    assert lost(queue.extend([slow], LEASE)) == [0]
    (again,) = take(queue)
    assert (again.message_id, again.receive_count) == (slow.message_id, 2)
    assert queue.ack([new, again]) == {}


def test_no_more_is_here_than_there_is_room_for(open_queue: Open) -> None:
    """What is in hand and what was pushed and not received yet, together; an ack makes room for one more."""
    queue, other = open_queue(prefetch=3), open_queue(prefetch=7)
    queue.create()
    send_bodies(queue, *map(str, range(10)))
    held = take_all(queue, 3)
    assert (len(held), take(queue)) == (3, [])
    assert len(take_all(other, 7)) == 7
    send_bodies(queue, "one more")
    queue.ack(held[:1])
    assert bodies(take(queue)) == ["one more"]


def test_what_was_pushed_and_not_received_goes_to_others_at_an_interrupt(
    queue: AmqpTransport, open_queue: Open
) -> None:
    """What is in hand stays in hand, and can be acked."""
    send_bodies(queue, *map(str, range(5)))
    held = take(queue, maximum=1)
    queue.interrupt()
    assert take(queue) == []
    others = open_queue()
    assert held[0].body not in bodies(come_all(others, 4))
    assert queue.ack(held) == {}


def test_an_interrupt_while_the_broker_is_told_to_push_ends_that(
    queue: AmqpTransport, address: AmqpAddress, open_queue: Open
) -> None:
    """Nothing stays in a process that receives no more."""

    def connect(note_blocked: Callable[[bool], None]) -> Any:
        connection: Any = open_connection(address, lambda: None, note_blocked)
        make = connection.channel

        def interrupted() -> Any:
            consumer.interrupt()
            return make()

        connection.channel = interrupted
        return connection

    send_bodies(queue, "first", "second")
    with closing(Consumer(address.queue_name, connect, 10, time.time)) as consumer:
        assert consumer.receive(10, 60.0, 60.0) == []
        assert bodies(come_all(open_queue(), 2)) == ["first", "second"]


def test_what_nobody_asks_for_any_more_goes_to_others(
    queue: AmqpTransport, open_queue: Open, clock: ShiftedClock
) -> None:
    """A minute after the last receive; the next one makes more come."""
    send_bodies(queue, *map(str, range(5)))
    held = take(queue, maximum=1, lease=timedelta(hours=1))
    clock.pass_time(61)
    assert queue.release([(held[0], NO_WAIT)]) == {}  # any call lets it look at the time
    other = open_queue()
    everything = bodies(come_all(other, 5))
    other.close()
    assert bodies(come_all(queue, 5)) == everything


def test_a_copy_that_waits_is_the_same_message(queue: AmqpTransport) -> None:
    """Id, time, group, attributes and count go on where the released delivery was."""
    attributes = {"type": Attribute("String", "a"), "n": Attribute("Number.int", "1")}
    queue.send([Message("later", attributes, group="acme", trace_header="Root=1")])
    (first,) = take(queue)
    assert queue.release([(first, timedelta(milliseconds=100))]) == {}
    (again,) = queue.receive(10, timedelta(seconds=20), LEASE)
    assert again == replace(first, receipt=again.receipt, receive_count=2)
    assert queue.depth() == Depth(waiting=0, leased=1, delayed=0)


def test_an_alarm_fails_a_send_and_does_not_hold_it(queue: AmqpTransport, rabbitmq: RabbitServer) -> None:
    """While the broker lacks memory it reads from no publisher; receives and acks go on."""
    send_bodies(queue, "before")
    held = take(queue)
    rabbitmq.evaluate(f"rabbit_alarm:set_alarm({{{MEMORY}, []}})")
    try:
        wait_until(lambda: refuses(queue), "a send that fails")
        assert queue.ack(held) == {}
    finally:
        rabbitmq.evaluate(f"rabbit_alarm:clear_alarm({MEMORY})")
    wait_until(lambda: not refuses(queue), "a send that is taken")


def test_a_delayed_message_is_not_sent_where_its_queue_is_missing(open_queue: Open) -> None:
    """It would wait for ever in the queue for delays."""
    with pytest.raises(QueueMissing, match="shardworker setup"):
        open_queue().send([Message("later", delay=SECOND)])
