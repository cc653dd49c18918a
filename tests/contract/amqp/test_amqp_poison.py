"""What others put on a queue in ways that the client library cannot read: it is received all the same."""

from collections.abc import Callable
from struct import pack
from typing import Any

import pytest
from amqp.basic_message import Message as RawMessage
from kombu.connection import Connection

from tests.support.receiving import bodies, come_all, send_bodies
from worker.transports.addresses import AmqpAddress
from worker.transports.amqp import AmqpTransport

HEADERS, TIMESTAMP, MESSAGE_ID = 1 << 13, 1 << 6, 1 << 7


def raw_message(properties: bytes) -> Any:
    """A message whose properties are the bytes that are given."""
    made = type("Raw", (RawMessage,), {"_serialize_properties": lambda _self: properties})
    return made(b"poison")


def table(entries: bytes) -> bytes:
    return pack(">HI", HEADERS, len(entries)) + entries


def long_string(text: bytes) -> bytes:
    return b"S" + pack(">I", len(text)) + text


def nested(depth: int) -> bytes:
    value = b"t\1"
    for _ in range(depth):
        value = b"A" + pack(">I", len(value)) + value
    return value


PROPERTIES: dict[str, Callable[[], bytes]] = {
    "a timestamp in milliseconds": lambda: pack(">HQ", TIMESTAMP, 1_795_000_000_000),
    "a timestamp that no calendar has": lambda: pack(">HQ", TIMESTAMP, 2**64 - 1),
    "a header with a time in milliseconds": lambda: table(b"\1aT" + pack(">Q", 1_795_000_000_000)),
    "an id in Latin-1": lambda: pack(">HB", MESSAGE_ID, 4) + b"caf\xe9",
    "an id with half a character": lambda: pack(">HB", MESSAGE_ID, 3) + b"\xed\xa0\x80",
    "a header's name in Latin-1": lambda: table(b"\4caf\xe9" + long_string(b"value")),
    "a header in Latin-1": lambda: table(b"\1a" + long_string(b"caf\xe9")),
    "a decimal": lambda: table(b"\1aD\xff" + pack(">i", 7)),
    "an array in an array": lambda: table(b"\1a" + nested(5_000)),
    "a compression that nobody knows": lambda: table(b"\x0bcompression" + long_string(b"lzw")),
    "a compression that it has not": lambda: table(b"\x0bcompression" + long_string(b"application/x-gzip")),
}


@pytest.mark.parametrize("properties", PROPERTIES.values(), ids=PROPERTIES.keys())
def test_a_message_that_cannot_be_read_is_received_and_blocks_none(
    queue: AmqpTransport, address: AmqpAddress, properties: Callable[[], bytes]
) -> None:
    """It comes with its body, is there once, and what was sent after it comes too."""
    with Connection(address.url) as connection, connection.channel() as channel:
        raw: Any = channel
        raw.basic_publish(raw_message(properties()), routing_key=address.queue_name)
    send_bodies(queue, "after")
    received = come_all(queue, 2)
    assert sorted(bodies(received)) == ["after", "poison"]
    assert all(one.message_id.isprintable() for one in received)
    assert queue.ack(received) == {}
