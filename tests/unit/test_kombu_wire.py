"""Messages as a body and headers: all that was sent comes back, and what others send can be read."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.headers import read_headers
from worker.transports.base import Attribute, Delivery, Message
from worker.transports.kombu_wire import (
    WIRE_HEADER,
    Arrival,
    Stamp,
    copy_of,
    delivery_from,
    headers_of,
)
from worker.transports.limits import message_fault

NOW = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
ARRIVAL = Arrival("receipt", 1, NOW)
STAMP = "X-Message-Stamp-Symfony\\Component\\Messenger\\Stamp\\BusNameStamp"

characters = st.characters(exclude_categories=["Cs", "Cc", "Cn"], include_characters="\t\n\r")
texts = st.text(characters, min_size=1, max_size=40)
names = st.one_of(
    st.from_regex(r"[A-Za-z][0-9A-Za-z_-]{0,20}", fullmatch=True),
    st.sampled_from(
        ["type", "CC", "x-death", "x-delivery-count", "X-Symfony-Messenger", "n" * 256, WIRE_HEADER]
    ),
).filter(lambda name: not name.lower().startswith(("aws", "amazon")))
attributes = st.one_of(
    st.builds(Attribute, st.sampled_from(["String", "String.uuid", "Number", "Number.int"]), texts),
    st.builds(Attribute, st.sampled_from(["Binary", "Binary.png"]), st.binary(min_size=1, max_size=20)),
)
messages = st.builds(
    Message,
    texts,
    st.dictionaries(names, attributes, max_size=6),
    group=st.none() | st.from_regex(r"[!-~]{1,20}", fullmatch=True),
    trace_header=st.none() | texts,
)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (hypothesis wants naive bounds)
foreign_values = st.one_of(
    texts, st.text(max_size=9), st.integers(), st.floats(), st.binary(max_size=9), st.booleans(), st.none(),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


def travelled(message: Message, stamp: Stamp, receives: int) -> Delivery:
    arrival = Arrival("receipt", receives, NOW)
    return delivery_from(message.body.encode(), headers_of(message, stamp), arrival)


@given(
    message=messages,
    message_id=texts,
    sent_at=moments,
    before=st.integers(0, 99),
    receives=st.integers(1, 99),
)
def test_what_was_sent_arrives(
    message: Message, message_id: str, sent_at: datetime, before: int, receives: int
) -> None:
    """Body, attributes of every type and name, group, trace, id and count; the time to the microsecond."""
    assert message_fault(message) is None
    delivery = travelled(message, Stamp(message_id, sent_at, before), receives)
    assert (delivery.body, dict(delivery.attributes)) == (message.body, dict(message.attributes))
    assert (delivery.group, delivery.trace_header) == (message.group, message.trace_header)
    assert (delivery.message_id, delivery.receive_count) == (message_id, before + receives)
    assert abs(delivery.sent_at - sent_at) <= timedelta(microseconds=1)


@settings(max_examples=30)
@given(message=messages, receives=st.integers(1, 9))
def test_a_copy_goes_on_where_the_delivery_was(message: Message, receives: int) -> None:
    """Its id and the time of its sending stay, and its receives are counted on."""
    first = travelled(message, Stamp("id", NOW), receives)
    again = travelled(*copy_of(first), 1)
    assert again.receive_count == receives + 1
    assert (again.message_id, again.sent_at, again.body) == (first.message_id, first.sent_at, first.body)
    assert (dict(again.attributes), again.group) == (dict(first.attributes), first.group)


def test_a_count_of_receives_ends_at_its_maximum() -> None:
    """One more would make the header unreadable, and with it group and attributes."""
    message = Message("{}", {"n": Attribute("Number", "1")}, group="acme")
    delivery = travelled(message, Stamp("id", NOW, 2**31 - 1), 1)
    again = travelled(*copy_of(delivery), 1)
    assert (again.group, again.attributes, again.receive_count) == ("acme", message.attributes, 2**31)


@settings(max_examples=30)
@given(message=messages)
def test_headers_are_texts_that_every_broker_carries(message: Message) -> None:
    """Names of at most 128 characters, none that a broker obeys, and values of text."""
    headers = headers_of(message, Stamp("id", NOW))
    assert {type(value) for value in headers.values()} <= {str}
    assert all(len(name) <= 128 for name in headers)
    assert not {"CC", "BCC", "x-death", "x-delivery-count"} & headers.keys()


@settings(max_examples=60)
@given(
    body=st.binary(max_size=40) | st.text(max_size=40),
    headers=st.dictionaries(
        st.one_of(names, st.text(max_size=9), st.binary(max_size=9)), foreign_values, max_size=6
    ),
)
def test_whatever_others_send_is_read_and_can_be_put_on_another_queue(
    body: bytes | str, headers: dict[str, Any]
) -> None:
    """No body and no header stops a message: it can always be written to the failure queue."""
    delivery = delivery_from(body, headers, ARRIVAL)
    message, stamp = copy_of(delivery)
    assert message_fault(message) is None
    again = delivery_from(message.body, headers_of(message, stamp), ARRIVAL)
    assert (again.body, dict(again.attributes)) == (delivery.body, dict(delivery.attributes))


def test_plain_strings_are_headers_of_their_own() -> None:
    """Others find them where they look for them."""
    message = Message("a", {"type": Attribute("String", "orders.insert"), "n": Attribute("Number", "1")})
    headers = headers_of(message, Stamp("id", NOW))
    assert headers["type"] == "orders.insert"
    assert headers.keys() == {"type", WIRE_HEADER}


def test_stamps_of_symfonys_amqp_transport_are_headers() -> None:
    """Their names hold backslashes, which no attribute's name does; they are read as headers all the same."""
    theirs = {"type": "App\\Order", STAMP: '[{"busName":"b"}]', "Content-Type": "application/json"}
    delivery = delivery_from(b"{}", theirs, ARRIVAL)
    assert read_headers(delivery.headers) == theirs


def test_stamps_that_we_send_are_where_symfonys_amqp_transport_looks() -> None:
    """Beside the one attribute in which they stand on SQS; plain headers win."""
    folded = json.dumps({STAMP: "[{}]", "type": "folded"})
    message = Message(
        "{}",
        {"X-Symfony-Messenger": Attribute("String", folded), "type": Attribute("String", "plain")},
    )
    headers = headers_of(message, Stamp("id", NOW))
    assert (headers[STAMP], headers["type"]) == ("[{}]", "plain")
    delivery = delivery_from(b"{}", headers, ARRIVAL)
    assert dict(delivery.attributes) == dict(message.attributes)


def test_a_message_of_others_has_the_same_id_at_each_receive() -> None:
    """Whatever the broker adds: the id is that of its content."""
    first = delivery_from(b"{}", {"type": "a"}, ARRIVAL)
    again = delivery_from(b"{}", {"type": "a", "x-delivery-count": 1}, ARRIVAL)
    other = delivery_from(b"{}", {"type": "b"}, ARRIVAL)
    assert first.message_id == again.message_id != other.message_id


def test_id_and_time_of_the_broker_are_taken_where_ours_are_not() -> None:
    """A sender who sets the properties of AMQP is believed."""
    sent = NOW - timedelta(hours=1)
    delivery = delivery_from(b"{}", {}, ARRIVAL._replace(message_id="theirs", sent_at=sent))
    assert (delivery.message_id, delivery.sent_at) == ("theirs", sent)


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"id": 1}', '{"id": "a", "sent": -1}', "[" * 100_000])
def test_a_header_of_ours_that_is_not_as_we_write_it_is_ignored(text: str) -> None:
    """The message is read as any other's."""
    delivery = delivery_from(b"{}", {WIRE_HEADER: text, "type": "a"}, ARRIVAL)
    assert delivery.headers == {"type": "a"}
    assert delivery.receive_count == 1
