"""The commands on FIFO queues of SQS: submit, and retries from a FIFO failure queue."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from config.headers import OWN_ATTRIBUTE
from tests.support.site import Site
from tests.support.sqs_queue import StoredMessage
from tests.support.sqs_server import SqsServer
from worker.transports.addresses import SqsAddress
from worker.transports.base import Attribute, Message
from worker.transports.sqs import SqsTransport

JOB = {"job_id": "job-1", "type": "orders.insert", "partner_id": "acme", "customers": ["c-1"]}


class FifoSite:
    """A site whose request and failure queues are FIFO queues."""

    def __init__(self, directory: Path, server: SqsServer) -> None:
        self.server = server
        self.site = Site(directory)
        names = {"request": "requests", "failure": "failures"}
        urls = {role: f"sqs+{server.endpoint_url}/000000000000/{name}.fifo" for role, name in names.items()}
        self.environment = {
            "SHARDWORKER__QUEUES__REQUEST": json.dumps([urls["request"]]),
            "SHARDWORKER__QUEUES__FAILURE": urls["failure"],
        }
        address = SqsAddress("failures.fifo", endpoint_url=server.endpoint_url, region="eu-west-1")
        self.failures = SqsTransport(address, lease=timedelta(seconds=30))

    def run(self, *arguments: str, stdin: str | None = None) -> tuple[int, str]:
        """A command's exit status and all that it says."""
        result = self.site.run(*arguments, stdin=stdin, environment=self.environment)
        return result.exit_code, result.output

    def stored(self, queue: str) -> list[StoredMessage]:
        """What is on a queue, in order."""
        return list(self.server.service.queues[f"{queue}.fifo"].messages.values())


@pytest.fixture
def fifo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FifoSite]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with SqsServer() as server:
        monkeypatch.setattr(server.service, "wait_seconds", lambda _request: 0)
        fifo = FifoSite(tmp_path, server)
        assert fifo.run("setup")[0] == 0
        yield fifo
        fifo.failures.close()


def test_a_job_is_submitted_into_its_group_once(fifo: FifoSite) -> None:
    """The partner's, or the one that is named; a delay is refused before anything is sent."""
    job = json.dumps(JOB)
    assert fifo.run("submit", "-", "--delay", "5s", stdin=job)[0] == 1
    assert "takes no message with a delay" in fifo.run("submit", "-", "--delay", "5s", stdin=job)[1]
    assert fifo.stored("requests") == []
    for _ in range(2):
        assert fifo.run("submit", "-", stdin=job)[0] == 0
    assert fifo.run("submit", "-", "--group", "mine", stdin=json.dumps({**JOB, "job_id": "job-2"}))[0] == 0
    assert [message.group for message in fifo.stored("requests")] == ["acme", "mine"]


def test_failures_of_one_group_are_retried_all_and_in_order(fifo: FifoSite) -> None:
    """Ten are seen at a time; what was sent and not deleted is sent once, however often it is retried."""
    letters = [
        Message(
            json.dumps({**JOB, "job_id": f"job-{number}"}),
            ORIGIN,
            group="chain",
            deduplication_id=str(number),
        )
        for number in range(12)
    ]
    assert fifo.failures.send(letters) == {}
    shown = [json.loads(line) for line in fifo.run("failed", "list", "--json")[1].splitlines()]
    assert [one["job_id"] for one in shown] == [f"job-{number}" for number in range(10)]

    fifo.server.fail_next("DeleteMessageBatch", times=5, status=403, code="AccessDenied")
    fifo.run("failed", "retry", "--all", "--yes")
    fifo.server.heal()
    assert fifo.run("failed", "retry", "--all", "--yes")[0] == 0
    again = fifo.stored("requests")
    assert [json.loads(message.body)["job_id"] for message in again] == [
        f"job-{number}" for number in range(12)
    ]
    assert {message.group for message in again} == {"chain"}
    assert fifo.stored("failures") == []


ORIGIN = {
    OWN_ATTRIBUTE: Attribute("String", json.dumps({"origin": "requests.fifo", "code": "handler_error"}))
}
