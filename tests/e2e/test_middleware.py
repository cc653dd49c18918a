"""A worker process with middleware and with rate limits: nothing is told wrongly, nobody waits for others."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.world import WorkerProcess, World, job, wait_until
from tests.support.worlds import embedded

LIMIT = '[rate_limits.customers]\nc-1 = "1/d"\n'


@pytest.fixture(name="world")
def make_world(tmp_path: Path) -> Iterator[World]:
    with embedded(tmp_path, extra=LIMIT) as world:
        yield world


def statuses(world: World) -> dict[str, str]:
    return {result["job_id"]: result["status"] for result in world.results()}


def limited(worker: WorkerProcess) -> set[str]:
    """The jobs that came back because of a limit."""
    lines = worker.events("job.released")
    return {line["job"] for line in lines if line["error_code"] == "rate_limited"}


def test_a_customer_over_its_limit_waits_alone_until_the_limit_is_lifted(world: World) -> None:
    """No attempt is counted meanwhile, and the same job is done after the reload."""
    worker = world.start_worker()
    world.send(job("first", ["c-1"]))
    wait_until(lambda: "first" in statuses(world), "the first job's result")
    world.send(job("second", ["c-1"]), job("third", ["c-2"]))
    wait_until(lambda: "third" in statuses(world) and limited(worker) == {"second"}, "the other customer's")
    assert "second" not in statuses(world)

    world.config_path.write_text(world.config_path.read_text().replace(LIMIT, ""))
    worker.signal(signal.SIGHUP)
    wait_until(lambda: statuses(world).get("second") == "succeeded", "the limited job's result")
    (row,) = world.inbox("second")
    assert (row["attempt"], len(world.rows()), worker.stop()) == (0, 3, 0)


def test_a_middleware_that_fails_when_all_is_done_changes_no_answer(world: World) -> None:
    """The rows are there, so the partner is told that they are; the operators are told of the middleware."""
    worker = world.start_worker(SHARDWORKER__HANDLERS__MIDDLEWARE='["tests.support.late_link:fail_late"]')
    world.send(job("late", ["c-0", "c-1"], rows=[{"order_no": 1}]))
    wait_until(lambda: "late" in statuses(world), "the job's result")

    assert statuses(world) == {"late": "succeeded"}
    lines = worker.events("part.middleware_failed")
    assert {(line["middleware"], line["customer"]) for line in lines} == {
        ("tests.support.late_link.fail_late", "c-0"),
        ("tests.support.late_link.fail_late", "c-1"),
    }
    assert worker.stop() == 0
