"""Messages as Symfony sends them, through a worker of its own: done, answered, or kept with their reason."""

import base64
import json
from collections import Counter
from typing import Any

import pytest

from config.headers import read_own_header
from config.stamps import ERROR_DETAILS, NO_STAMPS, REDELIVERY, SENT_TO_FAILURE_TRANSPORT
from tests.support.worlds import MakeWorld
from worker.transports.base import Attribute, Delivery, Message

CLASS = "App\\Message\\ImportJob"
SECTION = r"""
[symfony.messages."App\\Message\\ImportJob"]
type = "orders.insert"
fields = { jobId = "job_id", customerId = "customers", "*" = "payload" }
constants = { partner_id = "acme" }

[symfony.fields]
jobId = "job_id"
partner = "partner_id"
"""
TRACE = "Root=1-67891233-abcdef012345678912345678;Parent=463ac35c9f6413ad;Sampled=1"
STAMPS = json.dumps(
    NO_STAMPS.adding(REDELIVERY, {"retryCount": 3, "redeliveredAt": "2026-11-21T19:08:40+00:00"})
    .adding(SENT_TO_FAILURE_TRANSPORT, {"originalReceiverName": "requests"})
    .adding(ERROR_DETAILS, {"exceptionMessage": "x" * 17_000})
    .headers()
)
PHP_BODY = base64.b64encode(rb"O:36:\"Symfony\\Component\\Messenger\\Envelope\":2:{s:44:\"\0").decode()


def message(body: dict[str, Any], class_name: str = CLASS, data_type: str = "String") -> Message:
    """As Symfony's SQS transport sends it: no attribute but strings, its stamps folded into one."""
    attributes = {
        "type": Attribute(data_type, class_name),
        "Content-Type": Attribute("String", "application/json"),
        "X-Symfony-Messenger": Attribute("String", STAMPS),
    }
    return Message(json.dumps(body), attributes, trace_header=TRACE)


def codes(letters: list[Delivery]) -> list[tuple[str | None, str | None]]:
    """Which class each message on the failure queue has, and why it is there."""
    return [(letter.headers.get("type"), read_own_header(letter.headers).code) for letter in letters]


@pytest.mark.parametrize("make_world", ["sqs"], indirect=True)
def test_messages_of_symfony_s_are_done_answered_or_kept(make_world: MakeWorld) -> None:
    """An existing class is a job, an unknown one rejected; what PHP serialized, or nobody can read, stays."""
    world = make_world(extra=SECTION)
    unknown = {"jobId": "job-2", "partner": "acme", "customerId": "c-1"}
    sent = [
        message({"jobId": "job-1", "customerId": "c-1", "rows": [{"order_no": 1}]}),
        message(unknown, "App\\Message\\Other"),
        message({**unknown, "jobId": "job-3"}, "App\\Message\\Custom", "String.custom"),
        Message(PHP_BODY),
    ]
    assert world.request.send(sent) == {}
    worker = world.start_worker("--limit", "4")
    assert worker.wait() == 0

    results = {result["job_id"]: result for result in world.results()}
    statuses = {job_id: result["status"] for job_id, result in results.items()}
    assert statuses == {"job-1": "succeeded", "job-2": "rejected"}
    assert "Other" in results["job-2"]["error"]["message"]
    assert world.rows() == [(1, "c-1")]
    letters = world.dead_letters()
    assert sorted(codes(letters), key=str) == [
        ("App\\Message\\Other", "unknown_type"),
        (None, "bad_message"),
        (None, "php_serialized"),
    ]
    kept = [letter.headers.get("X-Symfony-Messenger") for letter in letters]
    assert Counter(kept) == {STAMPS: 2, None: 1}
    assert {answer.trace_header for answer in world.take_all(world.response)} == {TRACE}
