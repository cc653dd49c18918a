"""Dry runs by real workers: asked for by `submit`, told by `results`, and nothing is left of them."""

import json
import signal
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from tests.support.world import World, job, wait_until
from tests.support.worlds import MakeWorld
from worker.cli import build_app


def run(world: World, *arguments: str) -> str:
    """What a command prints."""
    result = CliRunner().invoke(build_app(), [*arguments, "--config", str(world.config_path)])
    assert result.exit_code == 0, result.output
    return result.stdout


def rows_of(*numbers: int) -> dict[str, Any]:
    return {"rows": [{"order_no": number} for number in numbers]}


def ends(result: dict[str, Any]) -> list[dict[str, Any]]:
    """What became of each customer, without what a dry run alone tells."""
    return [{name: end[name] for name in end if name != "changes"} for end in result["customers"]]


def test_a_dry_run_is_answered_as_the_real_job_and_leaves_nothing(embedded_world: World) -> None:
    """By the built-in handler, on two shards: a row too many on one of them. The real job follows."""
    world, file = embedded_world, embedded_world.directory / "job.json"
    customers = [
        {"customer_id": "c-0", "payload": rows_of(1, 2)},
        {"customer_id": "c-1", "payload": rows_of(3, 3)},
    ]
    file.write_text(json.dumps(job("job-1", customers)))
    run(world, "submit", "--dry-run", str(file))
    worker = world.start_worker("--limit", "1")
    assert worker.wait() == 0
    (asked,) = world.results()

    assert (asked["dry_run"], asked["status"]) == (True, "partial")
    assert asked["customers"][0]["changes"] == [
        {"table": "orders", "inserted": 2, "updated": 0, "deleted": 0, "upserted": 0}
    ]
    assert (world.rows(), world.inbox("job-1"), world.dead_letters()) == ([], [], [])
    (line,) = worker.events("job.done")
    assert (line["dry_run"], line["outcome"], line["shards"]) == (True, "partial", ["s0", "s1"])
    assert "(dry" in run(world, "results")

    run(world, "submit", str(file))
    assert world.start_worker("--limit", "1").wait() == 0
    real = world.results()[-1]
    assert (real["dry_run"], real["status"], ends(real)) == (False, "partial", ends(asked))
    assert world.rows() == [(1, "c-0"), (2, "c-0")]


def test_a_dry_run_outlives_its_worker_and_waits_for_its_shard(make_world: MakeWorld) -> None:
    """Killed while its handler runs, then without its database: it runs again, and is answered once."""
    world = make_world(lease="3s")
    started, go_on = world.directory / "started", world.directory / "go-on"
    payload = {**rows_of(1), "started": str(started), "go_on": str(go_on)}
    world.send(job("job-1", type="orders.slow", payload=payload, dry_run=True))
    doomed = world.start_worker()
    wait_until(lambda: list(world.directory.glob("started.*")) != [], "a started handler")
    doomed.signal(signal.SIGKILL)
    doomed.wait()
    go_on.touch()
    move(world.directory / "s0.db", world.directory / "elsewhere.db")
    second = world.start_worker()
    second.wait_for_event("shard.unanswered")
    move(world.directory / "elsewhere.db", world.directory / "s0.db")
    world.wait_until_settled()

    assert second.stop() == 0
    (result,) = world.results()
    assert (result["dry_run"], result["status"]) == (True, "succeeded")
    assert (world.rows(), world.inbox("job-1"), world.dead_letters()) == ([], [], [])


def move(database: Path, place: Path) -> None:
    """Take a shard's file away, or bring it back."""
    database.rename(place)
