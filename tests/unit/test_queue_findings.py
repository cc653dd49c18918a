"""What `shardworker check` says where the configuration asks what a kind of queue cannot promise."""

from datetime import timedelta
from typing import Any

import pytest

from config.settings import Settings
from worker.cli.queue_findings import hold_doubts, link_doubts, name_doubts, order_doubts, scaling_doubts

RABBITMQ = "amqp://u@mq/?queue=jobs"
REDIS = "redis://cache/0?queue=jobs"


def settings_with(request: str, queues: dict[str, Any] | None = None, **sections: Any) -> Settings:
    outlets = {"response": "sqs://results", "failure": "sqs://failures"}
    return Settings.model_validate(
        {"queues": {"request": [request], **outlets, **(queues or {})}, **sections}
    )


@pytest.mark.parametrize(("timeout", "told"), [("29m", False), ("30m", True), ("2h", True)])
def test_a_job_that_may_run_for_longer_than_it_can_be_held_is_doubtful(timeout: str, told: bool) -> None:  # noqa: FBT001  # a table
    """It says which type, how long, what follows and what to do."""
    settings = settings_with(RABBITMQ, types={"orders.insert": {"timeout": timeout}})
    texts = list(hold_doubts(RABBITMQ, timedelta(minutes=30), settings))

    assert bool(texts) is told
    for text in texts:
        assert text.startswith(f'[types."orders.insert"] timeout is {timeout}, and RabbitMQ takes')
        assert "held for 30m" in text
        assert "Split such jobs" in text


@pytest.mark.parametrize(
    ("url", "password_file", "host"),
    [
        ("amqp://u:s3cret@mq/?queue=jobs", None, "mq"),
        ("redis://cache/0?queue=jobs", "/run/password", "cache"),
        ("redis://cache/0?queue=jobs", None, None),
        ("amqps://u:s3cret@mq/?queue=jobs", None, None),
        ("rediss://cache/0?queue=jobs", "/run/password", None),
        ("amqp://u:s3cret@127.0.0.9/?queue=jobs", None, None),
        ("redis://:s3cret@[::1]/0?queue=jobs", None, None),
        ("amqp://u:s3cret@localhost/?queue=jobs", None, None),
        ("sqs://jobs", "/run/password", None),
    ],
)
def test_a_password_that_travels_in_the_clear_is_doubtful(
    url: str, password_file: str | None, host: str | None
) -> None:
    """Not where it never leaves the machine; the text names the host, and no password."""
    texts = list(link_doubts(url, settings_with(url, {"password_file": password_file})))

    assert len(texts) == (host is not None)
    for text in texts:
        assert f"go to {host} unencrypted" in text
        assert "s://" in text
        assert "s3cret" not in text


@pytest.mark.parametrize(
    ("request_queue", "group", "told"),
    [("sqs://jobs", "workers", False), (REDIS, "workers", True), (RABBITMQ, None, False)],
)
def test_a_group_that_nothing_scales_is_doubtful(request_queue: str, group: str | None, told: bool) -> None:  # noqa: FBT001  # a table
    """AWS publishes how many messages wait for its own queues only."""
    texts = list(scaling_doubts(settings_with(request_queue, ec2={"group": group})))

    assert bool(texts) is told


def test_queues_of_the_same_name_on_two_brokers_are_doubtful() -> None:
    """Where commands and limits take a name, they would take the first."""
    settings = settings_with("sqs://jobs", {"response": RABBITMQ})

    (text,) = name_doubts(settings)
    assert text.startswith("2 queues have the name 'jobs'")
    assert not list(name_doubts(settings_with("sqs://jobs")))


@pytest.mark.parametrize(
    ("request_queue", "failure", "places", "told"),
    [
        ("sqs://jobs.fifo", "sqs://failures", 80, []),
        ("sqs://jobs.fifo", "sqs://failures", 79, ["[worker] in_hand_max is 79"]),
        ("sqs://jobs", "sqs://failures.fifo", 10, ["the failure queue is a FIFO queue"]),
    ],
)
def test_fifo_queues_that_hide_failures_or_leave_threads_idle_are_doubtful(
    request_queue: str, failure: str, places: int, told: list[str]
) -> None:
    """A receive brings up to ten messages of one group, and no more of it are seen."""
    worker = {"concurrency": 8, "in_hand_max": places}
    texts = list(order_doubts(settings_with(request_queue, {"failure": failure}, worker=worker)))
    assert [text[: len(start)] for text, start in zip(texts, told, strict=True)] == told
