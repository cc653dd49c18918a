"""`shardworker stop-workers` on real workers: who runs when it is called leaves, who starts later stays."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shards.catalog_tables import create_catalog
from shards.directory import PlacementState
from shards.open_directory import catalog_shard, open_catalog
from tests.support.logging_state import logging_restored
from tests.support.postgresql import running_postgresql
from tests.support.world import HOMES, WorkerProcess, World, job, wait_until
from worker.cli import build_app

HERE = socket.gethostname()
OFTEN = '\n[directory]\ncache = "200ms"\n'

Open = Callable[[str | None], "MarkedWorld"]


class MarkedWorld(World):
    """A world whose workers look for marks often: in the catalog, if the option `catalog` is its URL."""

    def directory_section(self) -> str:
        """The catalog, or the file's own map."""
        if "catalog" not in self.options:
            return OFTEN + super().directory_section()
        return f'{OFTEN}\n[directory.catalog]\nurl = "{self.options["catalog"]}"\n'

    def fill_catalog(self) -> None:
        """Customers live where the file would have them."""
        with closing(catalog_shard(self.settings)) as shard:
            create_catalog(shard)
        with closing(open_catalog(self.settings, time.time)) as catalog:
            for customer_id, shard_name in HOMES.items():
                catalog.set_placement(customer_id, shard_name, None, PlacementState.ACTIVE)

    def stop_workers(self, *arguments: str) -> None:
        """Run the command."""
        with logging_restored():
            result = CliRunner().invoke(
                build_app(), ["stop-workers", "--config", str(self.config_path), *arguments]
            )
        assert result.exit_code == 0, result.output

    def start_seeing_worker(self) -> WorkerProcess:
        """A worker that sees what is marked from now on."""
        worker = self.start_worker(SHARDWORKER__LOGGING__LEVEL="debug")
        worker.wait_for_event("worker.sees_stop")
        return worker


@pytest.fixture(name="open_world")
def world_opener(tmp_path: Path) -> Iterator[Open]:
    """Opens the test's world, with a catalog at this URL or without one."""
    worlds: list[MarkedWorld] = []

    def opened(catalog_url: str | None) -> MarkedWorld:
        queues = f"sql://{tmp_path}/queues.db?queue="
        options = {} if catalog_url is None else {"catalog": catalog_url}
        world = MarkedWorld(tmp_path, f"{queues}requests", f"{queues}responses", f"{queues}failures", options)
        worlds.append(world)
        if catalog_url is not None:
            world.fill_catalog()
        return world

    yield opened
    for world in worlds:
        world.close()


def reason_of(worker: WorkerProcess) -> str:
    """Why it left; its status lets the service manager start it anew."""
    assert worker.wait() == 0
    return str(worker.wait_for_event("worker.stopped")["reason"])


def do_a_job(world: MarkedWorld, number: int) -> None:
    """The workers that are there do one."""
    world.send(job(f"job-{number}", rows=[{"order_no": number}]))
    wait_until(lambda: (number, "c-0") in world.rows(), f"job {number}")
    world.wait_until_settled()


def test_all_workers_leave_by_a_catalog_on_postgresql_and_newcomers_stay(open_world: Open) -> None:
    """Two of them, idle or not; the one that replaces them never hears of the mark of before."""
    with running_postgresql() as server:
        server.create_database("catalog")
        world = open_world(server.url("catalog"))
        workers = [world.start_seeing_worker() for _ in range(2)]
        do_a_job(world, 1)
        world.stop_workers()
        assert [reason_of(worker) for worker in workers] == ["stop-workers"] * 2

        newcomer = world.start_seeing_worker()
        do_a_job(world, 2)
        assert newcomer.stop() == 0
        assert newcomer.wait_for_event("worker.stopped")["reason"] == "SIGTERM"


def test_one_worker_leaves_of_two(open_world: Open, tmp_path: Path) -> None:
    """By its name in the log and in `stats`; then the other, by its host's."""
    world = open_world(f"sqlite:///{tmp_path}/catalog.db")
    one, other = (world.start_seeing_worker() for _ in range(2))
    world.stop_workers("--host", "elsewhere")
    world.stop_workers("--instance", str(one.wait_for_event("worker.started")["instance"]))
    assert reason_of(one) == "stop-workers"
    do_a_job(world, 1)
    assert not other.events("worker.stopping")

    world.stop_workers("--host", HERE)
    assert reason_of(other) == "stop-workers"


def test_without_a_catalog_this_host_s_workers_leave(open_world: Open) -> None:
    """By the state directory that they share."""
    world = open_world(None)
    worker = world.start_seeing_worker()
    world.stop_workers("--host", HERE)

    assert reason_of(worker) == "stop-workers"


def test_a_catalog_that_is_away_stops_nobody_and_delays_nothing(open_world: Open, tmp_path: Path) -> None:
    """It is told once; the worker works, and sees the marks when the catalog is there."""
    world = open_world(f"sqlite:///{tmp_path}/catalog.db")
    path = tmp_path / "catalog.db"
    path.rename(tmp_path / "elsewhere.db")
    worker = world.start_worker(SHARDWORKER__LOGGING__LEVEL="debug")
    worker.wait_for_event("worker.stop_unknown")
    world.send(job("job-1", rows=[{"order_no": 1}]))
    worker.wait_for_event("directory.away")
    (tmp_path / "elsewhere.db").rename(path)
    worker.wait_for_event("worker.sees_stop")
    do_a_job(world, 2)
    world.stop_workers()

    assert reason_of(worker) == "stop-workers"
    assert len(worker.events("worker.stop_unknown")) == 1
