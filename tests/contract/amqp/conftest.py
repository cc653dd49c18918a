"""Queues on RabbitMQ as fixtures."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from uuid import uuid4

import pytest

from tests.support.queue_backends import ShiftedClock
from tests.support.rabbitmq import RabbitServer
from worker.transports.addresses import AmqpAddress, read_address
from worker.transports.amqp import AmqpTransport

Open = Callable[..., AmqpTransport]


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
