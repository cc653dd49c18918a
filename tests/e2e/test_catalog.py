"""An operator's changes in the catalog reach every worker: pause, resume, another shard, gone."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from shards.catalog import Catalog, Scope
from shards.catalog_tables import create_catalog
from shards.directory import PlacementState
from shards.open_directory import catalog_shard, open_catalog
from tests.support.world import HOMES, WorkerProcess, World, job, wait_until
from worker.transports.base import Message, Transport
from worker.transports.factory import open_transport

ACTIVE, GONE = PlacementState.ACTIVE, PlacementState.GONE
WORKERS = 2
CUSTOMER = "c-0"

Line = dict[str, Any]


class CatalogWorld(World):
    """A world whose customers stand in a catalog, which is asked often."""

    def directory_section(self) -> str:
        """The catalog in place of the file's map."""
        catalog = f'[directory.catalog]\nurl = "sqlite:///{self.directory}/catalog.db"'
        return f'\n[directory]\ncache = "200ms"\n\n{catalog}\n'


@dataclass
class AddressedWorker:
    """A worker with a request queue of its own, so that its answer to a change can be told."""

    process: WorkerProcess
    queue: Transport
    numbers: Iterator[int]

    def end_of_a_job(self) -> Line:
        """Send a job for the customer; the line of its end."""
        number = next(self.numbers)
        job_id = f"job-{number}"
        sent = job(job_id, [CUSTOMER], rows=[{"order_no": number}])
        assert not self.queue.send([Message(body=json.dumps(sent))])
        wait_until(lambda: bool(self._ends(job_id)), f"the end of {job_id} in {self.process.log_path}")
        return self._ends(job_id)[0]

    def wait_for(self, condition: Callable[[Line], bool]) -> Line:
        """Send one job after the other until one ends so; its line."""
        ends: list[Line] = []

        def ended() -> bool:
            ends.append(self.end_of_a_job())
            return condition(ends[-1])

        wait_until(ended, "a job that ends otherwise")
        return ends[-1]

    def _ends(self, job_id: str) -> list[Line]:
        names = ("job.done", "job.released", "job.dead_lettered")
        return [line for name in names for line in self.process.events(name) if line["job"] == job_id]


@pytest.fixture(name="world")
def catalog_world(tmp_path: Path) -> Iterator[CatalogWorld]:
    queues = f"sql://{tmp_path}/queues.db?queue="
    world = CatalogWorld(tmp_path, f"{queues}requests", f"{queues}responses", f"{queues}failures")
    yield world
    world.close()


@pytest.fixture(name="catalog")
def make_catalog(world: CatalogWorld) -> Iterator[Catalog]:
    create_catalog(catalog_shard(world.settings))
    with closing(open_catalog(world.settings, time.time)) as catalog:
        for customer_id, shard in HOMES.items():
            catalog.set_placement(customer_id, shard, None, ACTIVE)
        yield catalog


@pytest.fixture(name="workers")
def start_workers(world: CatalogWorld, catalog: Catalog) -> Iterator[list[AddressedWorker]]:
    del catalog
    numbers = count(1)
    workers = [start_worker(world, numbers) for _ in range(WORKERS)]
    for worker in workers:
        worker.process.wait_for_event("worker.started")
    yield workers
    assert [worker.process.stop() for worker in workers] == [0] * len(workers)
    for worker in workers:
        worker.queue.close()


def start_worker(world: CatalogWorld, numbers: Iterator[int]) -> AddressedWorker:
    url = f"sql://{world.directory}/queues.db?queue=requests-{len(world.workers)}"
    queue = open_transport(url, world.settings.queues, world.settings.worker.lease)
    queue.create()
    process = world.start_worker(SHARDWORKER__QUEUES__REQUEST=json.dumps([url]))
    return AddressedWorker(process, queue, numbers)


def is_done(line: Line) -> bool:
    return (line["event"], line["outcome"]) == ("job.done", "succeeded")


def is_paused(line: Line) -> bool:
    return (line["event"], line.get("error_code")) == ("job.released", "customer_paused")


def is_gone(line: Line) -> bool:
    return (line["event"], line.get("error_code")) == ("job.done", "customer_gone")


def test_what_an_operator_changes_reaches_every_worker(
    world: CatalogWorld, catalog: Catalog, workers: list[AddressedWorker]
) -> None:
    """Pause and resume of a shard, another shard, gone: no restart, and no row is lost or doubled."""
    done = {worker.end_of_a_job()["job"] for worker in workers}
    catalog.pause(Scope.SHARD, "s0")
    for worker in workers:
        worker.wait_for(is_paused)
    rows_while_paused = world.rows_on("s0")
    assert [is_paused(worker.end_of_a_job()) for worker in workers] == [True] * WORKERS
    assert world.rows_on("s0") == rows_while_paused

    catalog.resume(Scope.SHARD, "s0")
    done |= {worker.wait_for(is_done)["job"] for worker in workers}
    catalog.set_placement(CUSTOMER, "s1", None, ACTIVE)
    done |= {worker.wait_for(lambda line: line.get("shards") == ["s1"])["job"] for worker in workers}
    rows_when_moved = world.rows_on("s0")
    done |= {worker.end_of_a_job()["job"] for worker in workers}
    assert world.rows_on("s0") == rows_when_moved

    catalog.set_placement(CUSTOMER, "s1", None, GONE)
    for worker in workers:
        worker.wait_for(is_gone)
    rows_when_gone = world.rows()
    assert [is_gone(worker.end_of_a_job()) for worker in workers] == [True] * WORKERS
    assert world.rows() == rows_when_gone
    assert done <= {f"job-{number}" for number, _ in rows_when_gone}
    assert len(rows_when_gone) == len(set(rows_when_gone))


def test_while_the_catalog_is_away_known_customers_go_on(
    world: CatalogWorld, catalog: Catalog, workers: list[AddressedWorker]
) -> None:
    """One line tells that it is away and one that it is back; what is not known waits meanwhile."""
    worker = workers[0]
    assert is_done(worker.end_of_a_job())
    catalog.close()
    path = world.directory / "catalog.db"
    path.rename(world.directory / "elsewhere.db")
    # what is open stays open on this machine's file system: a worker that begins now has to connect
    newcomer = start_worker(world, worker.numbers)
    workers.append(newcomer)
    end = newcomer.end_of_a_job()
    assert (end["event"], end["error_code"]) == ("job.released", "directory_away")
    assert len(newcomer.process.events("directory.away")) == 1

    (world.directory / "elsewhere.db").rename(path)
    newcomer.wait_for(is_done)
    assert len(newcomer.process.events("directory.back")) == 1
