"""SIGHUP: a changed configuration is taken while jobs run, and none of them is dropped or run twice."""

import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from config.settings import Shard
from shards.engines import Shards
from shards.inbox import create_inbox
from tests.support.service_manager import FakeServiceManager
from tests.support.world import CUSTOMERS, ORDERS, WorkerProcess, World, job, wait_until
from tests.support.worlds import embedded

STEPS = [
    ("concurrency = 4", "concurrency = 1"),
    ('level = "info"', 'level = "debug"'),
    ('base_delay = "50ms"', 'base_delay = "80ms"'),
    ("concurrency = 1", "concurrency = 8"),
    ('\n[shards.s0]\nurl = "sqlite:', '\n[shards.s0]\nlimit = 3\nurl = "sqlite:'),
    ("[partners.acme]", "[partners.acme"),
    ("[partners.acme", "[partners.acme]"),
    ("limit = 3", "limit = 1"),
    ("concurrency = 8", "concurrency = 3"),
    ('lease = "30s"', 'lease = "20s"'),
]
"""Changes of the file, one after another; one breaks it, and the next mends it."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with embedded(tmp_path, extra='level = "info"') as world:
        yield world


def change(world: World, before: str, after: str) -> None:
    """Change the file as a whole, as an editor or a deployment does."""
    text = world.config_path.read_text()
    assert before in text
    fresh = world.config_path.with_suffix(".new")
    fresh.write_text(text.replace(before, after, 1))
    fresh.replace(world.config_path)


def reload(worker: WorkerProcess) -> None:
    """SIGHUP; returns when the file was taken or refused."""
    before = len(reloads(worker))
    worker.signal(signal.SIGHUP)
    wait_until(lambda: len(reloads(worker)) > before, "the reload")


def reloads(worker: WorkerProcess) -> list[str]:
    return [line["event"] for line in worker.log() if line["event"] in {"config.reloaded", "config.refused"}]


def worker_threads(worker: WorkerProcess) -> int:
    """How many of its threads run handlers, by what it tells itself; of those that it began with, all."""
    before = len(worker.events("worker.thread"))
    worker.signal(signal.SIGUSR1)
    wait_until(lambda: _is_whole(worker.events("worker.thread")[before:]), "a line for each thread")
    lines = worker.events("worker.thread")[before:]
    return sum(line["thread"].startswith("work-") for line in lines)


def _is_whole(lines: list[dict[str, str]]) -> bool:
    return any(line["thread"].startswith("receive-") for line in lines)


def test_jobs_that_run_meanwhile_are_done_once(world: World) -> None:
    """More threads and fewer, limits up and down, a file that is broken: each row is there once."""
    worker = world.start_worker()
    worker.wait_for_event("worker.started")
    for step, (before, after) in enumerate(STEPS):
        jobs = [
            job(f"job-{step}-{number}", [customer], rows=[{"order_no": step * 100 + number}])
            for number, customer in enumerate(CUSTOMERS)
        ]
        world.send(*jobs)
        change(world, before, after)
        reload(worker)
    world.wait_until_settled()

    assert worker.stop() == 0
    expected = {step * 100 + number for step in range(len(STEPS)) for number in range(len(CUSTOMERS))}
    assert Counter(order_no for order_no, _ in world.rows()) == Counter(expected)
    results = world.results()
    assert Counter(result["job_id"] for result in results).most_common(1)[0][1] == 1
    assert {result["status"] for result in results} == {"succeeded"}
    assert len(results) == len(expected)
    # One SQLite file with a limit of three has writers that wait for each other.
    assert {line["error_code"] for line in worker.events("job.released")} <= {"busy"}
    assert reloads(worker) == [
        "config.refused" if after == "[partners.acme" else "config.reloaded" for _, after in STEPS
    ]


def test_threads_end_after_their_part_and_new_ones_begin(world: World) -> None:
    """Three handlers run on when one thread is left of four; then there are six."""
    worker = world.start_worker()
    worker.wait_for_event("worker.started")
    go_on = world.directory / "go_on"
    for number, customer in enumerate(("c-0", "c-1", "c-2")):
        files = {"started": str(world.directory / "started"), "go_on": str(go_on)}
        rows = [{"order_no": number}]
        world.send(job(f"slow-{number}", [customer], type="orders.slow", rows=rows, payload=files))
    wait_until(lambda: len(list(world.directory.glob("started.*"))) == 3, "three handlers that run")
    change(world, "concurrency = 4", "concurrency = 1")
    reload(worker)
    assert worker_threads(worker) >= 3
    go_on.touch()
    wait_until(lambda: worker_threads(worker) == 1, "the end of three threads")
    change(world, "concurrency = 1", "concurrency = 6")
    reload(worker)

    wait_until(lambda: worker_threads(worker) == 6, "six threads")
    world.wait_until_settled()
    assert sorted(order_no for order_no, _ in world.rows()) == [0, 1, 2]
    assert worker.stop() == 0


def test_new_customers_shards_and_partners_are_there_at_once(world: World) -> None:
    """A customer on a shard that the process did not know, for a partner that it did not know."""
    new = f'\n[shards.s3]\nurl = "sqlite:///{world.directory}/s3.db"\n'
    _make_shard(world, "s3")
    worker = world.start_worker("--limit", "2")
    worker.wait_for_event("worker.started")
    change(world, "[directory.customers]", f'{new}\n[directory.customers]\nc-new = "s3"')
    change(world, "[partners.acme]", '[partners.other]\ncustomers = ["*"]\ntypes = ["*"]\n\n[partners.acme]')
    reload(worker)
    world.send(job("new", ["c-new"], partner_id="other"), job("old", ["c-1"]))

    assert worker.wait() == 0
    assert {result["job_id"]: result["status"] for result in world.results()} == {
        "new": "succeeded",
        "old": "succeeded",
    }
    assert worker.events("config.reloaded")[0]["changed"] == ["partners", "shards.s3", "directory.customers"]


def test_the_service_manager_hears_of_the_reload_and_of_what_is_not_in_force(
    world: World, tmp_path: Path
) -> None:
    """RELOADING with its time, then READY; the status names a faulty file, and what needs a restart."""
    with FakeServiceManager(tmp_path / "notify") as manager:
        worker = world.start_worker(**manager.environment())
        manager.wait_for("READY=1")
        for before, after, note in (
            ('lease = "30s"', 'lease = "20s"', "needs a restart: worker.lease"),
            ('lease = "20s"', "lease = 10", "the changed configuration is faulty and not in force"),
            ("lease = 10", 'lease = "30s"', ""),
        ):
            change(world, before, after)
            worker.signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in manager.wait_for("RELOADING=1")
            status = "; ".join(["0 in hand, 0 done", *([note] if note else [])])
            assert manager.next() == f"READY=1\nSTATUS={status}"
        assert worker.stop() == 0

    (problem,) = worker.events("config.refused")[0]["problems"]
    assert problem.startswith("worker.lease: expected a duration")


def _make_shard(world: World, name: str) -> None:
    path = world.directory / f"{name}.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(ORDERS)
    shards = Shards({name: Shard(url=f"sqlite:///{path}")})
    create_inbox(shards.get(name), None)
    shards.close()
