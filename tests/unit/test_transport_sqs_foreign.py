"""Answers that are none of SQS's: whatever comes with status 200 is a failed call, never an error of ours."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fakes import delivery_of
from tests.support.receiving import LEASE, NO_WAIT, take
from worker.transports.addresses import SqsAddress
from worker.transports.base import Delivery, Depth, Fault, Message, TransportError
from worker.transports.sqs import SqsTransport
from worker.transports.sqs_errors import NO_ANSWER

URL = "http://127.0.0.1:9/000000000000/requests"
HELD = [delivery_of(message_id="a"), delivery_of(message_id="b")]
OPERATIONS: dict[str, Callable[[SqsTransport], object]] = {
    "receive": take,
    "ack": lambda queue: queue.ack(HELD),
    "release": lambda queue: queue.release([(one, NO_WAIT) for one in HELD]),
    "extend": lambda queue: queue.extend(HELD, LEASE),
    "send": lambda queue: queue.send([Message("a"), Message("b")]),
    "browse": lambda queue: queue.browse(3),
    "depth": SqsTransport.depth,
    "retention": SqsTransport.retention,
    "check": SqsTransport.check,
    "create": SqsTransport.create,
}
NAMES = """
    Messages MessageId ReceiptHandle Body Attributes MessageAttributes ApproximateReceiveCount SentTimestamp
    MessageGroupId AWSTraceHeader DataType StringValue BinaryValue Successful Failed Id Code SenderFault
    QueueUrl ApproximateNumberOfMessages MessageRetentionPeriod VisibilityTimeout __type
"""
KEYS = st.sampled_from(NAMES.split())
TEXTS = st.sampled_from(["0", "1", "-1", "1e9", "9" * 30, "9" * 5000, "http://x", "InvalidParameterValue"])
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=10,
)
MESSAGES = st.fixed_dictionaries(
    {"MessageId": ANY_JSON, "ReceiptHandle": st.just("r"), "Body": st.just("{}") | ANY_JSON},
    optional={
        "Attributes": st.dictionaries(KEYS, TEXTS | ANY_JSON),
        "MessageAttributes": st.dictionaries(KEYS, st.dictionaries(KEYS, TEXTS | ANY_JSON)) | ANY_JSON,
    },
)
ENTRIES = st.dictionaries(st.sampled_from(["Id", "Code", "SenderFault", "Message"]), TEXTS | ANY_JSON)
NEARLY_SQS = st.fixed_dictionaries(
    {},
    optional={
        "Messages": st.lists(MESSAGES, max_size=3),
        "Successful": st.lists(ENTRIES, max_size=3),
        "Failed": st.lists(ENTRIES, max_size=3),
        "Attributes": st.dictionaries(KEYS, TEXTS | ANY_JSON),
        "QueueUrl": TEXTS | ANY_JSON,
    },
)
ANSWERS = st.binary(max_size=30) | (ANY_JSON | NEARLY_SQS).map(json.dumps).map(str.encode)


class Endpoint:
    """A queue whose every request is answered with the same `body`, without a network."""

    def __init__(self, queue_url: str | None = URL) -> None:
        self.body = b""
        self.status = 200
        address = SqsAddress("requests", queue_url, "http://127.0.0.1:9", "eu-west-1")
        self.queue = SqsTransport(address, lease=timedelta(seconds=30))
        for client in (self.queue._clients.polling, self.queue._clients.control):
            events: Any = client.meta.events  # its stubs know of no handler that answers
            events.register_first("before-send.sqs", self._answer)

    def stream(self) -> Iterator[bytes]:
        """The body, as the network would bring it."""
        yield self.body

    def _answer(self, **_: Any) -> AWSResponse:
        return AWSResponse(URL, self.status, HTTPHeaders(), self)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        endpoint = Endpoint()
        yield endpoint
        endpoint.queue.close()


def is_delivery(one: Any) -> bool:
    """Whether it is a delivery all of whose parts are what they are declared as."""
    return (
        isinstance(one, Delivery)
        and one.sent_at.tzinfo is not None
        and all(isinstance(text, str) for text in (one.message_id, one.receipt, one.body))
        and all(isinstance(text, str | None) for text in (one.group, one.trace_header))
        and all(isinstance(found.data_type, str) for found in one.attributes.values())
        and all(isinstance(found.value, str | bytes) for found in one.attributes.values())
    )


def is_sound(value: object) -> bool:
    """Whether it is what an operation may return."""
    if isinstance(value, list):
        return all(isinstance(one, str) or is_delivery(one) for one in value)
    if isinstance(value, dict):
        return value.keys() <= {0, 1} and all(isinstance(fault, Fault) for fault in value.values())
    if isinstance(value, Depth):
        return all(isinstance(count, int) for count in value)
    return isinstance(value, bool | timedelta)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@given(body=ANSWERS, status=st.sampled_from([200, 200, 200, 204, 300, 400]))
def test_any_answer_is_understood_or_a_failed_call(
    endpoint: Endpoint, operation: Callable[[SqsTransport], object], body: bytes, status: int
) -> None:
    """An error of another type would end the thread, and with it the process."""
    endpoint.body, endpoint.status, endpoint.queue._queue_url = body, status, URL
    try:
        returned = operation(endpoint.queue)
    except TransportError:
        return
    assert is_sound(returned)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize(
    "body",
    [
        b"<html>Sign in</html>",
        b"",
        b"{",
        b"[]",
        b"null",
        b'"ok"',
        b'{"status": "ok"}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_a_foreign_page_is_no_empty_queue(
    endpoint: Endpoint, operation: Callable[[SqsTransport], object], body: bytes
) -> None:
    """Nor a queue without messages, nor a batch that was done: the call failed."""
    endpoint.body, endpoint.status, endpoint.queue._queue_url = body, 200, URL
    if operation == SqsTransport.check:
        assert "not SQS" in str(endpoint.queue.check())
        return
    with pytest.raises(TransportError, match="what answered is not SQS"):
        operation(endpoint.queue)


@pytest.mark.parametrize("body", [b"{}", b'{"Messages": []}', b'{"Messages": null}'])
def test_an_empty_answer_is_an_empty_queue(endpoint: Endpoint, body: bytes) -> None:
    """As SQS says it, in whichever of these ways."""
    endpoint.body, endpoint.status = body, 200
    assert take(endpoint.queue) == []


@pytest.mark.parametrize(
    "entries",
    [
        {"Successful": [{"Id": "7"}, {"Id": 0}, {"Id": None}, {"Id": ["1"]}, {}, None]},
        {"Failed": [{"Id": 1, "Code": "InternalError"}], "Successful": []},
    ],
)
def test_entries_that_say_nothing_of_ours_count_as_not_answered(
    endpoint: Endpoint, entries: dict[str, Any]
) -> None:
    """They have to be repeated."""
    endpoint.body, endpoint.status = json.dumps(entries).encode(), 200
    assert endpoint.queue.ack(HELD) == {0: NO_ANSWER, 1: NO_ANSWER}


def test_what_is_told_as_done_and_as_failed_is_not_done(endpoint: Endpoint) -> None:
    """Better sent twice than lost."""
    entries = {"Successful": [{"Id": "0"}, {"Id": "1"}], "Failed": [{"Id": "1", "Code": "InternalError"}]}
    endpoint.body, endpoint.status = json.dumps(entries).encode(), 200
    assert list(endpoint.queue.send([Message("a"), Message("b")])) == [1]


@pytest.mark.parametrize("code", ["receipt of a", {"receipt": "of a"}, "x" * 5000, 7, None])
def test_what_is_no_code_is_not_repeated_in_a_line(endpoint: Endpoint, code: object) -> None:
    """It may hold anything: a receipt, or a page."""
    endpoint.body, endpoint.status = json.dumps({"Failed": [{"Id": "0", "Code": code}]}).encode(), 200
    assert endpoint.queue.ack(HELD)[0].code == "unknown"


@pytest.mark.parametrize("body", [b'{"QueueUrl": 5}', b'{"QueueUrl": "nowhere"}', b"{}"])
def test_a_queue_s_url_that_is_none_is_not_kept(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    """The next call asks for it again."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    endpoint = Endpoint(queue_url=None)
    endpoint.body = body
    with pytest.raises(TransportError, match="what answered is not SQS"):
        take(endpoint.queue)
    endpoint.body = json.dumps({"QueueUrl": URL, "Messages": []}).encode()
    assert take(endpoint.queue) == []
    endpoint.queue.close()
