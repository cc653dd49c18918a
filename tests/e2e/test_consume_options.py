"""`shardworker consume` with Symfony's command line, as a real process."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.world import World, job


@pytest.fixture(name="world")
def embedded_world(tmp_path: Path) -> Iterator[World]:
    """A world on the embedded queue."""
    queues = f"sql://{tmp_path}/queues.db?queue="
    world = World(tmp_path, f"{queues}requests", f"{queues}responses", f"{queues}failures")
    yield world
    world.close()


def test_a_command_line_of_messenger_consume_works_as_it_stands(world: World) -> None:
    """Three jobs are done, which is its limit, the others never taken; the status lets it be started anew."""
    world.send(*(job(f"job-{number}", rows=[{"order_no": number}]) for number in range(5)))
    worker = world.start_worker(
        *("requests", "--limit=3", "--failure-limit=5", "--memory-limit=1G", "--time-limit=3600"),
        *("--sleep=0.1", "--keepalive=3", "--fetch-size=2"),
    )

    assert worker.wait() == 0
    assert worker.wait_for_event("worker.stopped")["reason"] == "limit"
    assert len(world.rows()) == 3
    assert world.request.depth() == (2, 0, 0)


def test_a_failure_that_is_tried_again_counts_against_the_limit(world: World) -> None:
    """As Symfony's: one job fails twice, and the process, which may be what is wrong, leaves."""
    world.send(job("job-1", type="orders.logged"))
    worker = world.start_worker("--failure-limit=2")

    assert worker.wait() == 0
    assert worker.wait_for_event("worker.stopped")["reason"] == "failure limit"
    assert worker.wait_for_event("job.released")["attempt"] == 1


def test_sigquit_drains(world: World) -> None:
    """Images of PHP are stopped by it."""
    worker = world.start_worker("--sleep=1h")
    worker.wait_for_event("worker.started")
    worker.signal(signal.SIGQUIT)

    assert worker.wait() == 0
    assert worker.wait_for_event("worker.stopped")["reason"] == "SIGQUIT"
