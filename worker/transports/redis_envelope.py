"""A message as it lies in a Redis list: kombu's envelope, or a bare text that somebody pushed by hand."""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import uuid4

import msgspec
from msgspec import Struct

from worker.transports.base import Delivery, Message
from worker.transports.kombu_wire import Arrival, Stamp, delivery_from, headers_of

UNREADABLE: Final = (msgspec.DecodeError, RecursionError, ValueError)
NEVER_RECEIVED: Final = ""


class _Properties(Struct):
    """What every envelope of kombu's has, and other JSON does not."""

    delivery_tag: str
    delivery_info: dict[str, Any]
    body_encoding: str | None = None


class _Envelope(Struct):
    body: str
    properties: _Properties
    headers: dict[str, Any] = {}


# Made here, before there are threads to meet at the models' first use.
ENVELOPE: Final = msgspec.json.Decoder(_Envelope)


class Entry(NamedTuple):
    """A message as the server keeps it: its id there, how often it was received, its text and its arrival."""

    message_id: str
    receive_count: int
    payload: bytes
    arrived_at: float


def payload_of(message: Message, queue_name: str, now: float) -> bytes:
    """The envelope in which kombu sends the message, its body as text; no two are equal."""
    name = uuid4().hex
    envelope = {
        "body": message.body,
        "content-type": "text/plain",
        "content-encoding": "utf-8",
        "headers": headers_of(message, Stamp(name, datetime.fromtimestamp(now, UTC))),
        "properties": {
            "delivery_tag": name,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue_name},
            "priority": 0,
            "body_encoding": "utf-8",
        },
    }
    return msgspec.json.encode(envelope)


def delivery_of(entry: Entry, receipt: str) -> Delivery:
    """The delivery of what the server keeps, whoever sent it; nothing that it holds raises."""
    arrived_at = datetime.fromtimestamp(entry.arrived_at, UTC)
    arrival = Arrival(receipt, entry.receive_count, arrived_at)
    body, headers = _body_and_headers(entry.payload)
    return replace(delivery_from(body, headers, arrival), message_id=entry.message_id)


def _body_and_headers(payload: bytes) -> tuple[bytes | str, Mapping[str, Any]]:
    try:
        envelope = ENVELOPE.decode(payload)
        return _body_in(envelope), envelope.headers
    except UNREADABLE:
        return payload, {}


def _body_in(envelope: _Envelope) -> bytes | str:
    if envelope.properties.body_encoding == "base64":
        return b64decode(envelope.body, validate=True)
    return envelope.body
