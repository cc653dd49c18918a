"""FIFO queues of the SQS stand-in, asked through boto3: AWS's documented rules, one by one."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.support.queue_backends import ShiftedClock
from tests.support.sqs_server import SqsServer

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@pytest.fixture(scope="module")
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture(scope="module")
def sqs(clock: ShiftedClock) -> Iterator["SQSClient"]:
    with SqsServer(clock=clock) as server:
        session = boto3.session.Session("test", "test", region_name="eu-west-1")
        sqs = session.client("sqs", endpoint_url=server.endpoint_url)
        yield sqs
        sqs.close()


@pytest.fixture
def url(sqs: "SQSClient") -> str:
    name = f"orders-{uuid4().hex}.fifo"
    return sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"})["QueueUrl"]


def send(sqs: "SQSClient", url: str, *bodies: str, **more: Any) -> list[Any]:
    """Messages, each in the group that its first letter names, its body being its deduplication id."""
    return [
        sqs.send_message(
            QueueUrl=url,
            **{"MessageBody": one, "MessageGroupId": one[0], "MessageDeduplicationId": one, **more},
        )
        for one in bodies
    ]


def receive(sqs: "SQSClient", url: str, seconds: int = 30) -> list[Any]:
    names: list[Any] = ["All"]
    return sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        VisibilityTimeout=seconds,
        MessageSystemAttributeNames=names,
    ).get("Messages", [])


def bodies(messages: list[Any]) -> list[str]:
    return [message["Body"] for message in messages]


def test_one_receive_brings_several_messages_of_a_group_in_order(sqs: "SQSClient", url: str) -> None:
    """And each group's order is its own."""
    send(sqs, url, "a1", "b1", "a2", "b2", "a3")
    assert bodies(receive(sqs, url)) == ["a1", "a2", "a3", "b1", "b2"]


def test_no_message_of_a_group_comes_while_any_of_it_is_in_flight(sqs: "SQSClient", url: str) -> None:
    """Not even when the first of those in flight is deleted, or given back; other groups come."""
    send(sqs, url, "a1", "a2")
    first, second = receive(sqs, url)
    send(sqs, url, "a3", "b1")
    assert bodies(receive(sqs, url)) == ["b1"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    assert receive(sqs, url) == []
    sqs.delete_message(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"])
    assert bodies(receive(sqs, url)) == ["a3"]


def test_a_group_keeps_its_order_when_messages_come_back(
    sqs: "SQSClient", url: str, clock: ShiftedClock
) -> None:
    """After a release, whichever was released first, and after a lease ran out."""
    send(sqs, url, "a1", "a2", "a3")
    for message in reversed(receive(sqs, url)):
        assert receive(sqs, url) == []
        sqs.change_message_visibility(
            QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )
    assert bodies(receive(sqs, url, seconds=5)) == ["a1", "a2", "a3"]
    clock.pass_time(6)
    assert bodies(receive(sqs, url)) == ["a1", "a2", "a3"]


def test_a_released_head_holds_its_group_for_its_delay(
    sqs: "SQSClient", url: str, clock: ShiftedClock
) -> None:
    """What was given back behind it at once waits with it."""
    send(sqs, url, "a1", "a2")
    for message, seconds in zip(receive(sqs, url), (20, 0), strict=True):
        sqs.change_message_visibility(
            QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=seconds
        )
    assert receive(sqs, url) == []
    clock.pass_time(21)
    assert bodies(receive(sqs, url)) == ["a1", "a2"]


def test_a_deduplication_id_holds_for_five_minutes_and_after_the_delete(
    sqs: "SQSClient", url: str, clock: ShiftedClock
) -> None:
    """The repeat is answered as the first was, and dropped, whatever its body and group."""
    (first,) = send(sqs, url, "a1")
    (message,) = receive(sqs, url)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    (again,) = send(sqs, url, "b2", MessageDeduplicationId="a1")
    assert (again["MessageId"], again["SequenceNumber"]) == (first["MessageId"], first["SequenceNumber"])
    assert receive(sqs, url) == []
    clock.pass_time(301)
    (later,) = send(sqs, url, "a1")
    assert later["MessageId"] != first["MessageId"]
    assert bodies(receive(sqs, url)) == ["a1"]


def test_content_based_deduplication_looks_at_the_body_alone(sqs: "SQSClient") -> None:
    """Unless the message has an id of its own."""
    attributes: Any = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    url = sqs.create_queue(QueueName="content.fifo", Attributes=attributes)["QueueUrl"]
    attribute: Any = {"name": {"DataType": "String", "StringValue": "x"}}
    sqs.send_message(QueueUrl=url, MessageBody="same", MessageGroupId="a")
    sqs.send_message(QueueUrl=url, MessageBody="same", MessageGroupId="a", MessageAttributes=attribute)
    send(sqs, url, "a1", MessageBody="same")
    assert bodies(receive(sqs, url)) == ["same", "same"]


def test_deduplication_can_be_told_to_keep_to_the_group(sqs: "SQSClient") -> None:
    """As queues of high throughput do."""
    attributes: Any = {"FifoQueue": "true", "DeduplicationScope": "messageGroup"}
    url = sqs.create_queue(QueueName="scope.fifo", Attributes=attributes)["QueueUrl"]
    send(sqs, url, "a1", "b1", MessageDeduplicationId="same")
    send(sqs, url, "a2", MessageDeduplicationId="same")
    assert bodies(receive(sqs, url)) == ["a1", "b1"]


def test_sequence_numbers_grow(sqs: "SQSClient", url: str) -> None:
    """What is received says the same as what the sender was told, and its two ids."""
    sent = [int(one["SequenceNumber"]) for one in send(sqs, url, "a1", "b1", "a2")]
    received = {one["Body"]: one["Attributes"] for one in receive(sqs, url)}
    assert sent == sorted(set(sent))
    assert [int(received[body]["SequenceNumber"]) for body in ("a1", "b1", "a2")] == sent
    assert received["b1"]["MessageDeduplicationId"] == "b1"
    assert received["b1"]["MessageGroupId"] == "b"


def test_a_delete_after_the_lease_ran_out_is_refused(sqs: "SQSClient", url: str, clock: ShiftedClock) -> None:
    """Whether the message was received again or not; deleting a message that is gone is none."""
    send(sqs, url, "a1")
    (old,) = receive(sqs, url, seconds=5)
    clock.pass_time(6)
    with pytest.raises(ClientError, match="expired"):
        sqs.delete_message(QueueUrl=url, ReceiptHandle=old["ReceiptHandle"])
    (new,) = receive(sqs, url)
    with pytest.raises(ClientError, match="expired"):
        sqs.delete_message(QueueUrl=url, ReceiptHandle=old["ReceiptHandle"])
    sqs.delete_message(QueueUrl=url, ReceiptHandle=new["ReceiptHandle"])
    sqs.delete_message(QueueUrl=url, ReceiptHandle=new["ReceiptHandle"])
    clock.pass_time(600)
    assert receive(sqs, url) == []


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"MessageDeduplicationId": "a"}, "MissingParameter"),
        ({"MessageGroupId": "a"}, "InvalidParameterValue"),
        ({"MessageGroupId": "a", "MessageDeduplicationId": "a", "DelaySeconds": 5}, "InvalidParameterValue"),
    ],
)
def test_what_a_fifo_queue_refuses_is_refused(sqs: "SQSClient", url: str, parameters: Any, code: str) -> None:
    """A message without a group or a deduplication id, and one with a delay."""
    with pytest.raises(ClientError, match=code):
        sqs.send_message(QueueUrl=url, MessageBody="x", **parameters)


@pytest.mark.parametrize(
    ("name", "attributes"), [("a.fifo", {}), ("a", {"FifoQueue": "true"}), ("a", {"FifoQueue": "false"})]
)
def test_a_queue_is_made_fifo_by_name_and_attribute_together(
    sqs: "SQSClient", name: str, attributes: Any
) -> None:
    """Neither alone does it."""
    with pytest.raises(ClientError, match="Invalid"):
        sqs.create_queue(QueueName=name, Attributes=attributes)


def test_a_standard_queue_refuses_a_deduplication_id(sqs: "SQSClient") -> None:
    """It would be ignored, and who sent it would believe in it."""
    url = sqs.create_queue(QueueName="standard")["QueueUrl"]
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        send(sqs, url, "a1")
