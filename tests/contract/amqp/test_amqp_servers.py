"""RabbitMQ as others set it up: their queues and messages, passwords, TLS."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
from kombu.connection import Connection

from tests.support.rabbitmq import RabbitServer
from tests.support.receiving import LEASE, bodies, come_all, send_bodies, take
from tests.support.world import wait_until
from worker.transports.addresses import AmqpAddress
from worker.transports.amqp import AmqpTransport
from worker.transports.base import Attribute, Message, TransportError

Open = Callable[..., AmqpTransport]


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


def test_what_a_full_queue_refuses_is_a_failed_call(open_queue: Open, address: AmqpAddress) -> None:
    """It says why; what was accepted before is there."""
    limits = {"x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish"}
    with Connection(address.url) as connection, connection.channel() as channel:
        channel.queue_declare(address.queue_name, durable=True, auto_delete=False, arguments=limits)
    queue = open_queue()
    wait_until(lambda: is_refused(queue), "a queue that is full")  # it takes a few more than its limit
    assert bodies(take(queue))[0] == "kept"


def is_refused(queue: AmqpTransport) -> bool:
    try:
        queue.send([Message("kept")])
    except TransportError as error:
        return "refuses a message" in str(error)
    return False


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
        received = come_all(over_tls, len(sent))
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
