"""Files of rejected rows when something fails: a worker killed before its COMMIT, a store that is away."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.crash_worker import Death, Order, exit_status, kill, start
from tests.support.rejected_files import IMPORT, MIXED, import_job, put_beside
from tests.support.world import World, wait_until
from tests.support.worlds import embedded

KILLED = -9


@pytest.fixture(name="world")
def make_world(tmp_path: Path) -> Iterator[World]:
    with embedded(tmp_path, extra=IMPORT, lease="3s") as world:
        yield world


def test_a_worker_killed_after_it_put_the_file_and_before_its_commit(world: World) -> None:
    """Nothing is loaded; the next delivery loads once, and the one object is what its result names."""
    world.send(import_job(world, "job-1"))
    killed = start(
        Order(
            ["consume", "--config", str(world.config_path), "--limit", "1"],
            world.directory / "killed.log",
            world.directory / "died",
            Death("before_commit"),
        )
    )
    try:
        assert exit_status(killed) == KILLED
    finally:
        kill(killed)
    left = put_beside(world)
    assert len(left) == 2
    assert (world.rows(), world.inbox("job-1")) == ([], [])

    assert world.start_worker("--limit", "1").wait() == 0

    assert_loaded_once(world)
    assert put_beside(world) == left


def test_while_nothing_can_be_put_the_job_waits_uncounted(world: World) -> None:
    """It is released with a delay, as often as need be, and done when the store is back."""
    world.send(import_job(world, "job-1"))
    blocked = world.directory / "bucket" / "acme" / "lines.csv.results"
    blocked.touch()  # no folder can be made there
    worker = world.start_worker("--limit", "1")
    wait_until(lambda: len(worker.events("part.failed")) > 1, "two tries")
    assert {line["error_code"] for line in worker.events("part.failed")} == {"attachment_unavailable"}
    assert world.rows() == []
    assert all((row["state"], row["attempt"]) == ("open", 0) for row in world.inbox("job-1"))

    blocked.unlink()
    assert worker.wait() == 0

    assert_loaded_once(world)
    assert [row["attempt"] for row in world.inbox("job-1")] == [0]


def assert_loaded_once(world: World) -> None:
    """The good rows are there, and the others' files are those that the result names."""
    assert world.rows() == [(1, "c-0"), (2, "c-0")]
    results = [result["customers"][0]["result"] for result in world.results()]
    assert results == [results[0]] * len(results)
    assert (results[0]["inserted"], results[0]["skipped"]) == (2, 2)
    (told,) = results[0]["rejected"]
    assert put_beside(world)[told["rows"]["key"].rpartition("/")[2]] == MIXED.rejected
