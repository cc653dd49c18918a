"""The SQS stand-in, asked through boto3 directly: what the conformance suite does not see of it."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.support.queue_backends import ShiftedClock
from tests.support.sqs_server import SqsServer

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

ATTRIBUTES: Any = {
    "name": {"DataType": "String", "StringValue": "vàlue"},
    "a.number": {"DataType": "Number.int", "StringValue": "12"},
    "Bytes": {"DataType": "Binary.png", "BinaryValue": b"\x00\xff"},
}


def client(endpoint_url: str) -> "SQSClient":
    session = boto3.session.Session("test", "test", region_name="eu-west-1")
    return session.client("sqs", endpoint_url=endpoint_url)


@pytest.fixture
def sqs(server: SqsServer) -> Iterator["SQSClient"]:
    sqs = client(server.endpoint_url)
    yield sqs
    sqs.close()


@pytest.fixture
def url(sqs: "SQSClient") -> str:
    return sqs.create_queue(QueueName="requests")["QueueUrl"]


def test_its_digests_are_those_of_another_implementation(
    sqs: "SQSClient", url: str, moto: Callable[[str], str]
) -> None:
    """Body and attributes have the MD5 that moto computes for the same message."""
    other = client(moto("q").removeprefix("sqs+").rsplit("/", 1)[0])
    answers = [
        each.send_message(QueueUrl=queue, MessageBody="bödy", MessageAttributes=ATTRIBUTES)
        for each, queue in ((sqs, url), (other, other.create_queue(QueueName="digests")["QueueUrl"]))
    ]
    other.close()
    ours, theirs = ((each["MD5OfMessageBody"], each["MD5OfMessageAttributes"]) for each in answers)
    assert ours == theirs


def test_a_receive_gives_only_the_attributes_that_were_asked_for(sqs: "SQSClient", url: str) -> None:
    """As SQS: none, unless named."""
    sqs.send_message(QueueUrl=url, MessageBody="a", MessageAttributes=ATTRIBUTES)
    (message,) = sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"]
    assert "Attributes" not in message
    assert "MessageAttributes" not in message
    (message,) = sqs.receive_message(
        QueueUrl=url, MessageAttributeNames=["name"], MessageSystemAttributeNames=["ApproximateReceiveCount"]
    )["Messages"]
    assert set(message["MessageAttributes"]) == {"name"}
    assert message["Attributes"] == {"ApproximateReceiveCount": "2"}


def test_a_long_poll_whose_client_is_gone_takes_nothing(
    server: SqsServer, sqs: "SQSClient", url: str
) -> None:
    """A killed worker's poll must not hide a message that is sent later."""
    connection = HTTPConnection(urlsplit(server.endpoint_url).netloc)
    connection.request(
        "POST",
        "/",
        json.dumps({"QueueUrl": url, "WaitTimeSeconds": 20}),
        {"X-Amz-Target": "AmazonSQS.ReceiveMessage"},
    )
    wait_until(lambda: server.counts["ReceiveMessage"] == 1)
    connection.close()
    wait_until(lambda: len(server.connections) == 1)
    sqs.send_message(QueueUrl=url, MessageBody="a")
    assert len(sqs.receive_message(QueueUrl=url)["Messages"]) == 1


def test_a_lease_beyond_twelve_hours_in_all_is_refused(
    sqs: "SQSClient", url: str, clock: ShiftedClock
) -> None:
    """The twelve hours count from the receive, as SQS counts them."""
    sqs.send_message(QueueUrl=url, MessageBody="a")
    (message,) = sqs.receive_message(QueueUrl=url, VisibilityTimeout=43_000)["Messages"]
    receipt = message["ReceiptHandle"]
    clock.pass_time(3600)
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=39_000)
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=40_000)


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([], "EmptyBatchRequest"),
        ([("a", "x")] * 2, "BatchEntryIdsNotDistinct"),
        ([(str(number), "x") for number in range(11)], "TooManyEntriesInBatchRequest"),
        ([("a b", "x")], "InvalidBatchEntryId"),
        ([("a", "x" * 600_000), ("b", "x" * 600_000)], "BatchRequestTooLong"),
    ],
)
def test_a_batch_that_sqs_refuses_is_refused(
    sqs: "SQSClient", url: str, entries: list[tuple[str, str]], code: str
) -> None:
    """As a whole, with SQS's code."""
    with pytest.raises(ClientError, match=code):
        sqs.send_message_batch(
            QueueUrl=url, Entries=[{"Id": entry_id, "MessageBody": body} for entry_id, body in entries]
        )


def test_it_runs_as_a_process_that_tells_its_counts_and_fails_on_demand() -> None:
    """For workers that are processes themselves."""
    command = [sys.executable, "-m", "tests.support.sqs_server", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        endpoint_url = process.stdout.readline().strip()
        fault = json.dumps({"action": "CreateQueue", "code": "ThrottlingException", "status": 400}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{endpoint_url}/faults", fault)):  # noqa: S310 (our own server)
            sqs = client(endpoint_url)
        sqs.create_queue(QueueName="requests")
        sqs.close()
        with urllib.request.urlopen(f"{endpoint_url}/counts") as answer:  # noqa: S310 (our own server)
            assert json.load(answer) == {"CreateQueue": 2}
        process.terminate()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
