"""The demo's queues on a broker: names of its own beside what the URL names, and no password in the open."""

import socket

import pytest

from tests.support.private_server import free_port
from worker.demo.failures import DemoFailed
from worker.demo.queues import USES, broker_queues, check_server
from worker.transports.addresses import BadQueueUrl, read_address

NAME = "shardworker-demo-ab12-requests"


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("amqp://u@mq:5672/v?queue=jobs", f"amqp://u@mq:5672/v?queue={NAME}"),
        ("amqp://u:p%40w@mq", f"amqp://u@mq?queue={NAME}"),
        ("amqps://mq//", f"amqps://mq//?queue={NAME}"),
        ("redis://:pw@cache/2", f"redis://cache/2?queue={NAME}"),
        ("rediss://u:pw@cache:1/2?queue=jobs", f"rediss://u@cache:1/2?queue={NAME}"),
        ("sqs://", f"sqs://{NAME}"),
        ("sqs://jobs", f"sqs://{NAME}"),
        ("sqs+http://127.0.0.1:1/", f"sqs+http://127.0.0.1:1/{NAME}"),
        ("sqs+http://127.0.0.1:1/jobs", f"sqs+http://127.0.0.1:1/{NAME}"),
        ("sqs+http://127.0.0.1:1/000000000000", f"sqs+http://127.0.0.1:1/000000000000/{NAME}"),
        ("sqs://sqs.eu-west-1.amazonaws.com/123/jobs", f"sqs://sqs.eu-west-1.amazonaws.com/123/{NAME}"),
        ("sql:///var/q.db", f"sql:///var/q.db?queue={NAME}"),
        ("sql+postgresql://h/db?queue=a&x=1", f"sql+postgresql://h/db?x=1&queue={NAME}"),
    ],
)
def test_the_demo_has_queues_of_its_own_where_the_url_leads(given: str, made: str) -> None:
    """A queue that the URL names is never touched; three queues have three names."""
    queues = broker_queues(given, "ab12")

    assert queues.url_of("requests") == made
    assert {read_address(queues.url_of(use)).queue_name for use in USES} == set(queues.names)
    assert len(queues.names) == 3


@pytest.mark.parametrize(
    ("url", "password"),
    [("amqp://u:p%40w@mq", "p@w"), ("redis://:pw@cache", "pw"), ("amqp://u@mq", None), ("sqs://jobs", None)],
)
def test_a_brokers_password_is_taken_out_of_the_url(url: str, password: str | None) -> None:
    """The configuration that the demo leaves can be shown; the password is in a file of its own."""
    queues = broker_queues(url, "ab12")

    assert queues.password == password
    assert password is None or password not in repr(queues)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mq",
        "kafka://mq",
        "sqs://jobs.fifo",
        "amqp://u:s3cret?@mq",
        "redis://:s3cret@h:99999",
        "amqp://[x",
    ],
)
def test_what_is_no_place_for_the_demo_is_refused(url: str) -> None:
    """Before anything is made; what is told holds no password."""
    with pytest.raises(BadQueueUrl) as raised:
        broker_queues(url, "ab12")

    assert "s3cret" not in str(raised.value)


def test_a_broker_that_is_not_there_is_told_at_once() -> None:
    """Where it should be, and what to do; a place that is no server's is not asked."""
    port = free_port()
    with pytest.raises(DemoFailed, match=rf"Nothing answers at 127\.0\.0\.1:{port} \(.*refused\)"):
        check_server(broker_queues(f"amqp://u:pw@127.0.0.1:{port}", "ab12"))
    check_server(broker_queues("sqs://jobs", "ab12"))


def test_a_broker_that_listens_is_taken() -> None:
    """What it speaks is found out by the transport."""
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        check_server(broker_queues(f"redis://127.0.0.1:{listener.getsockname()[1]}", "ab12"))
