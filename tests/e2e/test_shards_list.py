"""`shards list` beside workers that run: what they have in hand, and nothing of those that are gone."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.e2e.test_once import go_on, slow_job, wait_for_start
from tests.support.logging_state import logging_restored
from tests.support.world import CUSTOMERS, World, wait_until
from worker.cli import build_app


@pytest.fixture(name="small_world")
def world_on_the_embedded_queue(tmp_path: Path) -> Iterator[World]:
    url = f"sql://{tmp_path}/queues.db?queue="
    options = {"extra": '\n[metrics]\nstats_interval = "1s"\n'}
    world = World(tmp_path, f"{url}requests", f"{url}responses", f"{url}failures", options)
    yield world
    world.close()


def listed(world: World) -> list[dict[str, Any]]:
    """What the command prints for programs."""
    with logging_restored():
        result = CliRunner().invoke(
            build_app(), ["shards", "list", "--json", "--config", str(world.config_path)]
        )
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def running(world: World) -> int:
    """How many parts run, as the workers say."""
    return sum(row["running"] or 0 for row in listed(world))


def test_what_runs_is_told_until_the_worker_leaves(small_world: World) -> None:
    """By the file that the worker replaces every few seconds and takes with it."""
    worker = small_world.start_worker()
    worker.wait_for_event("worker.started")
    small_world.send(slow_job(small_world, "slow", [CUSTOMERS[0]], 1))
    wait_for_start(small_world)
    wait_until(lambda: running(small_world) == 1, "a running part in the list")
    go_on(small_world)
    wait_until(lambda: running(small_world) == 0, "no running part in the list")

    assert {row["breaker"] for row in listed(small_world)} == {"closed", None}
    assert worker.stop() == 0
    assert {row["running"] for row in listed(small_world)} == {None}
    assert list((small_world.directory / "state" / "workers").iterdir()) == []


def test_a_killed_worker_is_not_told_of(small_world: World) -> None:
    """Its file is removed by whoever looks next."""
    worker = small_world.start_worker()
    worker.wait_for_event("worker.started")
    directory = small_world.directory / "state" / "workers"
    wait_until(lambda: directory.exists() and any(directory.iterdir()), "the worker's file")
    worker.signal(signal.SIGKILL)
    worker.wait()
    listed(small_world)

    assert list(directory.iterdir()) == []
