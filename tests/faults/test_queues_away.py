"""A queue is away: nothing is lost, nothing is done twice, and all goes on by itself when it is back."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.headers import OwnHeader, read_own_header
from tests.support.queue_outage import QueueOutage, Way
from tests.support.world import World, job, wait_until, without_times

ROOM = 6
JOBS = 16


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch) -> Iterator[QueueOutage]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with QueueOutage() as outage:
        yield outage


@pytest.fixture
def world(outage: QueueOutage, tmp_path: Path) -> World:
    """Little room, leases that outlast a machine that stalls, one attempt."""
    return outage.world(
        tmp_path, lease="15s", drain="1s", worker=f"in_hand_max = {ROOM}", retry="max_attempts = 1"
    )


def counted(world: World, number: int) -> dict[str, Any]:
    """A job whose handler's runs are counted."""
    return job(
        f"job-{number}",
        [f"c-{number % 3}"],
        type="orders.counted",
        rows=[{"order_no": number}],
        payload={"runs": str(world.directory / "runs")},
    )


def failing(name: str) -> dict[str, Any]:
    """A job that belongs on the failure queue."""
    return job(name, type="orders.crash", payload={"secret": "s"})


def runs(world: World) -> list[str]:
    """Every run of a counted handler."""
    path = world.directory / "runs"
    return path.read_text().split() if path.exists() else []


def answers(outage: QueueOutage) -> dict[str, list[dict[str, Any]]]:
    """The final results on the response queue, by job, but for their times."""
    found: dict[str, list[dict[str, Any]]] = {}
    for body in outage.bodies("responses"):
        result = json.loads(body)
        if result["status"] != "running":
            found.setdefault(result["job_id"], []).append(without_times(result))
    return found


def dead_letters(outage: QueueOutage) -> list[str]:
    """The jobs on the failure queue."""
    return sorted(json.loads(body)["job_id"] for body in outage.bodies("failures"))


def fill(outage: QueueOutage, world: World, way: Way) -> None:
    """Take the response queue away, and let a worker fill up with jobs that are done and not answered."""
    outage.begin("responses", way)
    world.send(*(counted(world, number) for number in range(JOBS)))
    world.start_worker()
    wait_until(lambda: outage.leased() == [1] * ROOM == [1] * len(runs(world)), "a worker that is full")


@pytest.mark.parametrize("way", ["unavailable", "silent"])
def test_the_response_queue_away_loses_no_result_and_redoes_no_work(
    outage: QueueOutage, world: World, way: Way
) -> None:
    """The worker keeps what it has under its leases, takes no more, and answers all in the end."""
    fill(outage, world, way)
    (worker,) = world.workers
    extended = outage.server.counts["ChangeMessageVisibilityBatch"]
    wait_until(
        lambda: outage.server.counts["ChangeMessageVisibilityBatch"] > extended + 1,
        "leases extended for long",
    )
    assert worker.process.poll() is None
    assert outage.leased() == [1] * ROOM
    assert len(runs(world)) == ROOM
    outage.end("responses")
    world.wait_until_settled()
    assert worker.stop() == 0

    names = [f"job-{number}" for number in range(JOBS)]
    assert sorted(runs(world)) == sorted(names)
    assert {name: len(found) for name, found in answers(outage).items()} == dict.fromkeys(names, 1)
    assert {found[0]["status"] for found in answers(outage).values()} == {"succeeded"}
    assert not worker.events("lease.lost")
    assert not worker.events("job.released")


def test_a_worker_that_is_stopped_while_the_response_queue_is_away_leaves_the_answers_to_the_next(
    outage: QueueOutage, world: World
) -> None:
    """It goes, for all that cannot be sent; the next one makes the answers of the inbox's rows."""
    fill(outage, world, "unavailable")
    assert world.workers[0].stop() == 0
    assert len(runs(world)) == ROOM
    assert outage.bodies("responses") == []
    assert len(outage.bodies("requests")) == JOBS
    outage.end("responses")
    outage.let_pass(900)
    world.start_worker()
    world.wait_until_settled()
    assert world.workers[1].stop() == 0

    names = [f"job-{number}" for number in range(JOBS)]
    assert sorted(runs(world)) == sorted(names)
    assert sorted(answers(outage)) == sorted(names)
    assert dead_letters(outage) == []


def wait_for_release(outage: QueueOutage, world: World, count: int) -> None:
    """Wait until so many deliveries were given back for want of the failure queue."""
    (worker,) = world.workers

    def codes() -> Counter[str]:
        return Counter(line["error_code"] for line in worker.events("job.released"))

    wait_until(lambda: codes()["failure_queue_away"] >= count, "messages that are given back")
    assert dead_letters(outage) == []


def check_buried(outage: QueueOutage, world: World, names: list[str]) -> None:
    """Each has one dead letter, one answer however often it was sent, and was acked once."""
    (worker,) = world.workers
    assert dead_letters(outage) == names
    for name in names:
        first, *repeats = answers(outage)[name]
        assert first["status"] == "failed"
        assert all(repeat == first for repeat in repeats)
    assert sorted(line["job"] for line in worker.events("job.dead_lettered")) == names
    headers = [read_own_header(delivery.headers) for delivery in world.dead_letters()]
    assert {(header.code, header.answered) for header in headers} == {("handler_error", True)}
    assert all(_is_told(header) for header in headers)


def _is_told(header: OwnHeader) -> bool:
    told = (header.reason, header.instance, header.origin, header.first_sent_at, header.failed_at)
    return None not in told and header.attempt == 1


def test_the_failure_queue_away_drops_nothing_and_holds_nobody_up(outage: QueueOutage, world: World) -> None:
    """Failed jobs are answered and wait; others are done meanwhile; the dead letters come, one each."""
    names = ["bad-0", "bad-1", "bad-2"]
    outage.begin("failures", "refused")
    world.send(*map(failing, names))
    worker = world.start_worker()
    wait_for_release(outage, world, 3)
    world.send(*(counted(world, number) for number in range(JOBS)))
    wait_until(lambda: len(outage.bodies("requests")) == 3, "the others, done")
    assert sorted(answers(outage)) == sorted([*names, *runs(world)])
    outage.end("failures")
    outage.let_pass(900)
    world.wait_until_settled()
    assert worker.stop() == 0

    assert len(runs(world)) == JOBS
    check_buried(outage, world, names)


def test_both_queues_away_are_waited_for_one_after_the_other(outage: QueueOutage, world: World) -> None:
    """No dead letter before its answer, whichever is back first, and nothing is lost of either."""
    names = ["bad-0", "bad-1"]
    outage.begin("responses", "refused")
    outage.begin("failures", "unavailable")
    world.send(*map(failing, names), *(counted(world, number) for number in range(2)))
    worker = world.start_worker()
    worker.wait_for_event("settle.failed")
    wait_until(lambda: len(runs(world)) == 2, "the others' rows")
    assert len(outage.bodies("requests")) == 4
    assert not worker.events("job.released")
    outage.end("responses")
    wait_for_release(outage, world, 2)
    outage.end("failures")
    outage.let_pass(900)
    world.wait_until_settled()
    assert worker.stop() == 0

    assert sorted(runs(world)) == ["job-0", "job-1"]
    check_buried(outage, world, names)


def test_a_request_queue_that_is_away_is_asked_again_ever_less_often(
    outage: QueueOutage, world: World
) -> None:
    """Each try has a line, which says how long the worker waits; it goes on by itself."""
    world.send(counted(world, 1))
    outage.begin("requests", "missing")
    worker = world.start_worker()
    wait_until(lambda: len(worker.events("receive.failed")) >= 2, "receives that failed")
    outage.end("requests")
    world.wait_until_settled()
    assert worker.stop() == 0

    first, second, *_ = worker.events("receive.failed")
    assert (first["tries"], second["tries"]) == (1, 2)
    assert 500 <= first["delay_ms"] <= 1000 <= second["delay_ms"] <= 2000
    assert first["queue"] == "requests"
    assert first["error"]
    assert sorted(answers(outage)) == ["job-1"]
