"""Messages on brokers that know no attributes: a body and headers, of which one of ours keeps the rest.

Plain strings travel as headers, where Symfony's transports and other consumers look for them. Numbers, bytes
and labelled types, the group and the trace header, the message's id, the time of its sending and how often it
was received before stand in the header `Shardworker-Wire`, as JSON.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta, Struct

from config.headers import SYMFONY_ATTRIBUTE, read_headers
from worker.symfony.header_map import fold
from worker.transports.attributes import from_texts, to_texts
from worker.transports.base import Attribute, Delivery, Message
from worker.transports.limits import FORBIDDEN_CHARACTERS, attribute_ok

WIRE_HEADER: Final = "Shardworker-Wire"
NAME_CHARACTERS_MAXIMUM: Final = 128
RESERVED: Final = re.compile(
    r"x-(?:death|first-death-|last-death-|delivery-count|acquired-count|delay|opt-|stream-).*|B?CC|"
    + re.escape(WIRE_HEADER)
)
"""Names that brokers write or obey; an attribute of such a name travels inside our own header."""

EMPTY: Final = " "
"""What an empty body is read as: no queue takes an empty one, so none could be put on the failure queue."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
UNREADABLE: Final = (msgspec.DecodeError, RecursionError, UnicodeError)

RECEIVES_MAXIMUM: Final = 2**31 - 1
Count = Annotated[int, Meta(ge=0, le=RECEIVES_MAXIMUM)]
Seconds = Annotated[float, Meta(ge=0, lt=2**37)]


class Stamp(NamedTuple):
    """What a message is sent with: its id, when it was sent first, and how often it was received since."""

    message_id: str
    sent_at: datetime
    receives: int = 0


class Arrival(NamedTuple):
    """What the broker says of one receive.

    `receives` counts this receive and those before since the message was last published. Id and time are
    taken where the message brings none of ours.
    """

    receipt: str
    receives: int
    now: datetime
    message_id: str | None = None
    sent_at: datetime | None = None


class _Wire(Struct, frozen=True, omit_defaults=True):
    """Our header. `plain` names the headers that are attributes; None: all that are strings."""

    id: str
    sent: Seconds
    receives: Count = 0
    group: str | None = None
    trace: str | None = None
    others: dict[str, tuple[str, str]] = {}
    plain: list[str] | None = None


# Made here, before there are threads to meet at the model's first use.
WIRE: Final = msgspec.json.Decoder(_Wire)


def headers_of(message: Message, stamp: Stamp) -> dict[str, str]:
    """The headers that a message travels with; its body travels as UTF-8.

    What stands in `X-Symfony-Messenger` stands beside it as headers too, for Symfony's other transports.
    """
    plain = {name: str(one.value) for name, one in message.attributes.items() if _is_plain(name, one)}
    others = {name: to_texts(one) for name, one in message.attributes.items() if name not in plain}
    unfolded = _unfolded(message.attributes.get(SYMFONY_ATTRIBUTE), plain)
    wire = _Wire(
        id=stamp.message_id,
        sent=(stamp.sent_at - EPOCH).total_seconds(),
        receives=stamp.receives,
        group=message.group,
        trace=message.trace_header,
        others=others,
        plain=[*plain] if unfolded else None,
    )
    return {**unfolded, **plain, WIRE_HEADER: msgspec.json.encode(wire).decode()}


def delivery_from(body: bytes | str, headers: Mapping[str, Any], arrival: Arrival) -> Delivery:
    """The delivery in a message, whoever sent it; nothing that a message holds raises.

    Of a message that is not ours, headers that are text, numbers or bytes are attributes. Bytes that are no
    UTF-8 and characters that no queue takes are read as escapes.
    """
    wire = _wire_in(headers)
    if wire is None:
        wire = _Wire(
            id=arrival.message_id or _digest(body, headers),
            sent=max(0.0, ((arrival.sent_at or arrival.now) - EPOCH).total_seconds()),
        )
        attributes = _foreign_attributes(headers)
    else:
        attributes = _own_attributes(headers, wire)
    return Delivery(
        message_id=wire.id,
        receipt=arrival.receipt,
        body=_text(body),
        attributes=attributes,
        receive_count=wire.receives + arrival.receives,
        sent_at=EPOCH + timedelta(seconds=wire.sent),
        group=wire.group,
        trace_header=wire.trace,
    )


def copy_of(delivery: Delivery) -> tuple[Message, Stamp]:
    """The message of a delivery as it is to be published again: the same id, time and count go on."""
    message = Message(
        delivery.body, delivery.attributes, group=delivery.group, trace_header=delivery.trace_header
    )
    receives = min(delivery.receive_count, RECEIVES_MAXIMUM)
    return message, Stamp(delivery.message_id, delivery.sent_at, receives)


def _unfolded(symfonys: Attribute | None, plain: Mapping[str, str]) -> dict[str, str]:
    folded = {} if symfonys is None else read_headers({SYMFONY_ATTRIBUTE: str(symfonys.value)})
    return {name: header for name, header in folded.items() if _is_free(name) and name not in plain}


def _is_plain(name: str, attribute: Attribute) -> bool:
    return attribute.data_type == "String" and name != SYMFONY_ATTRIBUTE and _is_free(name)


def _is_free(name: str) -> bool:
    return len(name.encode(errors="replace")) <= NAME_CHARACTERS_MAXIMUM and not RESERVED.fullmatch(name)


def _is_attribute(name: object) -> bool:
    return isinstance(name, str) and not RESERVED.fullmatch(name)  # py-amqp leaves what is no UTF-8 as bytes


def _wire_in(headers: Mapping[str, Any]) -> _Wire | None:
    # Others can write our header too: what is not as we write it is taken for theirs.
    text = headers.get(WIRE_HEADER)
    if not isinstance(text, str):
        return None
    try:
        return WIRE.decode(text)
    except UNREADABLE:
        return None


def _own_attributes(headers: Mapping[str, Any], wire: _Wire) -> dict[str, Attribute]:
    names: Iterable[str] = headers if wire.plain is None else wire.plain
    plain = {
        name: Attribute("String", text)
        for name in names
        if isinstance(text := headers.get(name), str) and _is_attribute(name)
    }
    others = {name: _attribute(*texts) for name, texts in wire.others.items()}
    return {name: one for name, one in {**plain, **others}.items() if attribute_ok(name, one)}


def _attribute(data_type: str, text: str) -> Attribute:
    try:
        return from_texts(data_type, text)
    except ValueError:
        return Attribute(data_type, "")


def _foreign_attributes(headers: Mapping[str, Any]) -> dict[str, Attribute]:
    theirs = {name: value for name, value in headers.items() if _is_attribute(name)}
    texts = fold({name: value for name, value in theirs.items() if isinstance(value, str)})
    others = {name: _from_value(value) for name, value in theirs.items() if not isinstance(value, str)}
    return {**{name: one for name, one in others.items() if one and attribute_ok(name, one)}, **texts}


def _from_value(value: object) -> Attribute | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Attribute("Number", str(value))
    if isinstance(value, bytes | bytearray):
        return Attribute("Binary", bytes(value))
    return None


def _text(body: bytes | str) -> str:
    text = body if isinstance(body, str) else bytes(body).decode(errors="backslashreplace")
    if text.isprintable():
        return text or EMPTY
    return FORBIDDEN_CHARACTERS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _digest(body: bytes | str, headers: Mapping[str, Any]) -> str:
    """An id that every receive of the same message finds again."""
    digest = sha256(body.encode(errors="replace") if isinstance(body, str) else bytes(body))
    for name in sorted(filter(_is_attribute, headers)):
        digest.update(repr((name, headers[name])).encode(errors="replace"))
    return digest.hexdigest()[:32]
