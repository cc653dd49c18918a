"""The delays that RabbitMQ is asked for, how its counts are read, and how it is connected to."""

import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.message import Message as KombuMessage

from worker.transports.addresses import AmqpAddress
from worker.transports.amqp_arrivals import arrival_of
from worker.transports.amqp_connections import tls_options
from worker.transports.amqp_queues import LEVELS_MS, level_ms
from worker.transports.limits import RELEASE_DELAY_MAXIMUM

MILLISECOND = timedelta(milliseconds=1)


@given(delay=st.timedeltas(MILLISECOND, RELEASE_DELAY_MAXIMUM))
def test_no_delay_is_shorter_than_asked_for_and_few_are_much_longer(delay: timedelta) -> None:
    """A message never comes too early; above a tenth of a second, it is late by at most its delay again."""
    level = level_ms(delay) * MILLISECOND
    assert delay <= level <= max(2.5 * delay, timedelta(milliseconds=100))
    if delay >= timedelta(seconds=1):
        assert level <= delay * 5 / 3


def test_the_longest_delay_is_the_longest_release() -> None:
    """So no release is cut."""
    assert LEVELS_MS[-1] * MILLISECOND == RELEASE_DELAY_MAXIMUM
    assert list(LEVELS_MS) == sorted(LEVELS_MS)


@pytest.mark.parametrize(
    ("headers", "redelivered", "receives"),
    [
        ({}, False, 1),
        ({}, True, 2),
        ({"x-delivery-count": 0}, False, 1),
        ({"x-delivery-count": 3}, True, 4),
        ({"x-delivery-count": 1, "x-acquired-count": 4}, True, 5),
        ({"x-delivery-count": "3"}, True, 2),
    ],
)
def test_receives_are_counted_as_each_kind_of_queue_tells(
    headers: dict[str, Any],
    redelivered: bool,  # noqa: FBT001 (the form of the protocol)
    receives: int,
) -> None:
    """Quorum queues count failures, from RabbitMQ 4 on all receives too; classic ones know whether any."""
    message = KombuMessage(headers=headers, delivery_info={"redelivered": redelivered})
    assert arrival_of(message, "receipt", 0.0).receives == receives


@pytest.mark.parametrize("moment", [datetime(2026, 1, 1, tzinfo=UTC), 1_767_225_600, datetime(2026, 1, 1)])  # noqa: DTZ001 (as a library may give it)
def test_the_time_that_a_sender_sets_is_read(moment: object) -> None:
    """Whatever its form."""
    message = KombuMessage(properties={"timestamp": moment, "message_id": "theirs"})
    arrival = arrival_of(message, "receipt", 0.0)
    assert (arrival.sent_at, arrival.message_id) == (datetime(2026, 1, 1, tzinfo=UTC), "theirs")


def test_over_tls_the_servers_certificate_is_verified() -> None:
    """Against the system's authorities, and for the host of the URL."""
    assert tls_options(AmqpAddress("amqp://mq.example/", "a")) == {}
    assert tls_options(AmqpAddress("amqps://mq.example/", "a")) == {
        "ssl": {"server_hostname": None, "cert_reqs": ssl.CERT_REQUIRED}
    }
