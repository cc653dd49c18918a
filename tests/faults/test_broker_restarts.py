"""RabbitMQ dies as with its machine while workers are at work, and so does a worker: nothing is lost."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.rabbitmq import RabbitServer
from tests.support.world import CUSTOMERS, World, job, wait_until
from worker.transports.base import Delivery, Message, Transport, TransportError

JOBS = 120
SENT_AT_ONCE = 6
WAIT = timedelta(seconds=1)
LEASE = timedelta(seconds=30)
WRITE_DOWN = "[dets:sync(Table) || Table <- dets:all()]"
"""What RabbitMQ does by itself seconds after a queue was declared; killed before, it loses the last one."""


@pytest.fixture
def world(rabbitmq: RabbitServer, tmp_path: Path) -> Iterator[World]:
    names = (f"{name}-{tmp_path.name}" for name in ("requests", "responses", "failures"))
    requests, responses, failures = map(rabbitmq.url, names)
    world = World(tmp_path, requests, responses, failures)
    rabbitmq.evaluate(WRITE_DOWN)
    yield world
    world.close()


class Answers:
    """What comes back on the response queue: the results of each job, by its id."""

    def __init__(self, queue: Transport) -> None:
        self.results: dict[str, list[dict[str, Any]]] = {}
        self._queue = queue

    def wait_for(self, count: int) -> None:
        """Until so many jobs have an answer."""
        wait_until(lambda: self._count() >= count, f"{count} answers")

    def _count(self) -> int:
        for delivery in self._take():
            result = json.loads(delivery.body)
            self.results.setdefault(result["job_id"], []).append(result)
        return len(self.results)

    def _take(self) -> list[Delivery]:
        try:
            received = self._queue.receive(10, WAIT, LEASE)
            self._queue.ack(received)
        except TransportError:
            return []
        return received


def send_all(world: World) -> None:
    """Send every job, some at a time; what the broker did not confirm is sent again."""
    for first in range(0, JOBS, SENT_AT_ONCE):
        numbers = range(first, first + SENT_AT_ONCE)
        jobs = (
            job(f"job-{number}", [CUSTOMERS[number % len(CUSTOMERS)]], rows=[{"order_no": number}])
            for number in numbers
        )
        send(world.request, [Message(json.dumps(one)) for one in jobs])


def send(queue: Transport, messages: Sequence[Message]) -> None:
    """Send until the broker takes them."""

    def sent() -> bool:
        try:
            return queue.send(messages) == {}
        except TransportError:
            return False

    wait_until(sent, "a broker that takes messages", pause_seconds=0.2)


def dead_letters(world: World) -> list[Delivery]:
    """What is on the failure queue, as soon as the broker that was started again tells."""
    found: list[list[Delivery]] = []

    def told() -> bool:
        try:
            found.append(world.dead_letters())
        except TransportError:
            return False
        return True

    wait_until(told, "a broker that tells what it has", pause_seconds=0.2)
    return found[-1]


@pytest.mark.timeout(
    300
)  # a slow machine starts the broker in half a minute, and workers wait after failures
def test_a_broker_killed_under_load_and_then_a_worker_lose_and_double_nothing(
    world: World, rabbitmq: RabbitServer
) -> None:
    """What was held comes again, and the inbox knows what is done; what a dead worker held comes at once."""
    answers = Answers(world.response)
    victim, other = world.start_worker(), world.start_worker()
    with ThreadPoolExecutor(1) as sender:
        sending = sender.submit(send_all, world)
        answers.wait_for(20)
        rabbitmq.kill()
        rabbitmq.start()
        answers.wait_for(80)
        victim.process.kill()
        sending.result()
    answers.wait_for(JOBS)
    assert other.stop() == 0
    assert sorted(number for number, _ in world.rows()) == list(range(JOBS))
    statuses = {result["status"] for results in answers.results.values() for result in results}
    assert statuses == {"succeeded"}
    assert dead_letters(world) == []
