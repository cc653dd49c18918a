"""What RabbitMQ does that no other queue does: connections that end, timeouts, alarms, what it pushes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from kombu.connection import Connection

from tests.support.queue_backends import ShiftedClock
from tests.support.rabbitmq import RabbitServer
from tests.support.receiving import LEASE, NO_WAIT, bodies, send_bodies, take, take_all
from tests.support.world import wait_until
from worker.transports.addresses import AmqpAddress, read_address
from worker.transports.amqp import AmqpTransport
from worker.transports.base import (
    Attribute,
    Delivery,
    Faults,
    Message,
    QueueMissing,
    Transport,
    TransportError,
)

SECOND = timedelta(seconds=1)
CLOSE_ALL = "rabbit_networking:close_connections(rabbit_networking:local_connections(), [])"
HALF_AN_HOUR_MS = 1_800_000
MEMORY = "{resource_limit, memory, node()}"

Open = Callable[..., AmqpTransport]


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
def address(rabbitmq: RabbitServer) -> AmqpAddress:
    address = read_address(rabbitmq.url(f"requests-{uuid4().hex[:8]}"))
    assert isinstance(address, AmqpAddress)
    return address


@pytest.fixture
def open_queue(address: AmqpAddress, clock: ShiftedClock) -> Iterator[Open]:
    """Opens the test's queue once more, as another process would."""
    with ExitStack() as opened:

        def open_one(prefetch: int = 10) -> AmqpTransport:
            transport = AmqpTransport(
                address, prefetch=prefetch, password=lambda: None, clock=clock, monotonic=clock
            )
            return opened.enter_context(closing(transport))

        yield open_one


@pytest.fixture
def queue(open_queue: Open) -> AmqpTransport:
    transport = open_queue()
    transport.create()
    return transport


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
    assert len(take_all(open_queue(), 4)) == 4
    assert queue.ack(held) == {}
    assert open_queue().depth().waiting == 0


def test_what_nobody_asks_for_any_more_goes_to_others(
    queue: AmqpTransport, open_queue: Open, clock: ShiftedClock
) -> None:
    """A minute after the last receive; the next one makes more come."""
    send_bodies(queue, *map(str, range(5)))
    held = take(queue, maximum=1, lease=timedelta(hours=1))
    clock.pass_time(61)
    assert queue.release([(held[0], NO_WAIT)]) == {}  # any call lets it look at the time
    other = open_queue()
    assert len(take_all(other, 5)) == 5
    other.close()
    assert len(take_all(queue, 5)) == 5


def test_a_copy_that_waits_is_the_same_message(queue: AmqpTransport) -> None:
    """Id, time, group, attributes and count go on where the released delivery was."""
    attributes = {"type": Attribute("String", "a"), "n": Attribute("Number.int", "1")}
    queue.send([Message("later", attributes, group="acme", trace_header="Root=1")])
    (first,) = take(queue)
    assert queue.release([(first, timedelta(milliseconds=100))]) == {}
    (again,) = queue.receive(10, timedelta(seconds=20), LEASE)
    assert again == replace(first, receipt=again.receipt, receive_count=2)
    assert queue.depth().waiting == 0


def test_an_alarm_fails_a_send_and_does_not_hold_it(queue: AmqpTransport, rabbitmq: RabbitServer) -> None:
    """While the broker lacks memory it reads from no publisher; receives and acks go on."""
    send_bodies(queue, "before")
    held = take(queue)
    rabbitmq.evaluate(f"rabbit_alarm:set_alarm({{{MEMORY}, []}})")
    try:
        with pytest.raises(TransportError, match="memory or disk alarm"):
            queue.send([Message("now")])
        assert queue.ack(held) == {}
    finally:
        rabbitmq.evaluate(f"rabbit_alarm:clear_alarm({MEMORY})")
    send_bodies(queue, "after")
    assert "after" in bodies(take_all(queue, 2))


def test_a_delayed_message_is_not_sent_where_its_queue_is_missing(open_queue: Open) -> None:
    """It would wait for ever in the queue for delays."""
    with pytest.raises(QueueMissing, match="shardworker setup"):
        open_queue().send([Message("later", delay=SECOND)])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "no quorum queue"),
        ({"x-queue-type": "quorum", "x-delivery-limit": 20}, "drops what comes back too often"),
        ({"x-queue-type": "quorum"}, "drops what comes back too often"),
    ],
)
def test_a_queue_that_others_made_is_told_of(
    open_queue: Open, address: AmqpAddress, arguments: dict[str, object], told: str
) -> None:
    """A sentence for what is not as it should be."""
    with Connection(address.url) as connection, connection.channel() as channel:
        channel.queue_declare(address.queue_name, durable=True, auto_delete=False, arguments=arguments)
    (sentence,) = open_queue().check()
    assert told in sentence


def test_a_refused_password_is_told_without_it(address: AmqpAddress) -> None:
    """The sentence says where to look."""
    queue = AmqpTransport(address, prefetch=1, password=lambda: "wr0ng-s3cret")
    with closing(queue):
        (sentence,) = queue.check()
    assert "password" in sentence
    assert "s3cret" not in sentence


@pytest.fixture
def address_with_tls(address: AmqpAddress, rabbitmq: RabbitServer) -> AmqpAddress:
    return replace(address, url=rabbitmq.tls_url)


def test_messages_of_any_size_come_over_tls(
    queue: AmqpTransport,
    address_with_tls: AmqpAddress,
    rabbitmq: RabbitServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also those that stand in the library's buffer while the socket is silent."""
    monkeypatch.setenv("SSL_CERT_FILE", str(rabbitmq.certificates.authority))
    sent = [f"{number:02}" + "x" * size for number, size in enumerate([1, 40_000, 2, 500_000, 3] * 8)]
    with closing(AmqpTransport(address_with_tls, prefetch=50, password=lambda: None)) as over_tls:
        send_bodies(over_tls, *sent)
        received: list[Delivery] = []
        while len(received) < len(sent):
            received += over_tls.receive(10, timedelta(seconds=20), LEASE)
        assert bodies(received) == sent
        assert over_tls.ack(received) == {}
    assert queue.depth().waiting == 0


def test_a_server_that_nobody_vouches_for_is_not_talked_to(
    address_with_tls: AmqpAddress, rabbitmq: RabbitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sits between would read every job."""
    monkeypatch.setenv("SSL_CERT_FILE", str(rabbitmq.certificates.stranger))
    with closing(AmqpTransport(address_with_tls, prefetch=1, password=lambda: None)) as queue:
        (sentence,) = queue.check()
    assert "SSLCertVerificationError" in sentence


def test_messages_of_other_programs_are_received(queue: AmqpTransport, address: AmqpAddress) -> None:
    """As Symfony's AMQP transport sends them: a type and stamps in headers, nothing of ours."""
    stamp = "X-Message-Stamp-Symfony\\Component\\Messenger\\Stamp\\BusNameStamp"
    headers = {"type": "App\\Order", stamp: "[{}]", "attempts": 3}
    with Connection(address.url) as connection:
        producer = connection.Producer(auto_declare=False)
        producer.publish(
            b"{}", routing_key=address.queue_name, headers=headers, content_type="application/json"
        )
    (delivery,) = queue.receive(1, timedelta(seconds=20), LEASE)
    assert delivery.body == "{}"
    assert delivery.headers["type"] == "App\\Order"
    assert delivery.attributes["attempts"] == Attribute("Number", "3")
    assert stamp in delivery.headers["X-Symfony-Messenger"].replace("\\\\", "\\")
