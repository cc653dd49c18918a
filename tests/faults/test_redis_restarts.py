"""Redis, and jobs that outlast leases and the server itself: nothing is lost, nothing is done twice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.redis_server import RedisServer, running_redis
from tests.support.world import World, job, wait_until, without_times

SLOW, QUICK = 3, 40
LEASE_SECONDS = 15


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def world(server: RedisServer, tmp_path: Path) -> Iterator[World]:
    requests, responses, failures = map(server.url, ("requests", "responses", "failures"))
    world = World(tmp_path, requests, responses, failures, {"lease": f"{LEASE_SECONDS}s"})
    yield world
    world.close()


def slow_job(world: World, number: int) -> dict[str, Any]:
    """A job whose handler waits for the file `go-on` after its insert."""
    payload = {"started": str(world.directory / "started"), "go_on": str(world.directory / "go-on")}
    return job(f"slow-{number}", type="orders.slow", rows=[{"order_no": number}], payload=payload)


def lease_ends(server: RedisServer) -> dict[bytes, float]:
    """When the lease of each message in hand ends."""
    with server.client() as client:
        return dict(client.zrange("requests:leased", 0, -1, withscores=True))


def restart(server: RedisServer) -> None:
    """The server dies without a word, and is started again."""
    server.kill()
    server.start()


def test_a_server_killed_under_a_worker_costs_nothing(world: World, server: RedisServer) -> None:
    """Leases outlast the server and go on being renewed; what was sent, held or half settled is all there."""
    world.send(*(slow_job(world, number) for number in range(SLOW)))
    worker = world.start_worker()
    wait_until(lambda: len(lease_ends(server)) == SLOW, "all jobs in hand")
    before = lease_ends(server)
    restart(server)
    wait_until(
        lambda: all(ends > before[name] for name, ends in lease_ends(server).items()), "renewed leases"
    )
    assert lease_ends(server).keys() == before.keys()

    world.send(*(job(f"quick-{number}", rows=[{"order_no": SLOW + number}]) for number in range(QUICK)))
    (world.directory / "go-on").touch()
    wait_until(lambda: len(world.rows()) > SLOW, "the first of the others", pause_seconds=0.001)
    restart(server)
    world.wait_until_settled()
    assert worker.stop() == 0

    assert [number for number, _ in world.rows()] == list(range(SLOW + QUICK))
    answers = {result["job_id"]: without_times(result) for result in world.results()}
    assert len(answers) == SLOW + QUICK
    assert all(without_times(result) == answers[result["job_id"]] for result in world.results())
    assert {answer["status"] for answer in answers.values()} == {"succeeded"}
    assert world.dead_letters() == []


def test_a_job_longer_than_its_lease_is_delivered_once(world: World, server: RedisServer) -> None:
    """It is renewed until the job is done: no other worker that asks gets it."""
    world.send(slow_job(world, 0))
    worker = world.start_worker()
    wait_until(lambda: len(lease_ends(server)) == 1, "the job in hand")
    ((message_id, first_end),) = lease_ends(server).items()
    other = world.start_worker()
    wait_until(lambda: lease_ends(server)[message_id] > first_end + LEASE_SECONDS - 1, "a lease to pass")
    (world.directory / "go-on").touch()
    world.wait_until_settled()
    assert [worker.stop(), other.stop()] == [0, 0]

    done = [line for one in (worker, other) for line in one.events("job.done")]
    assert [line["receive_count"] for line in done] == [1]
