"""The same part in many hands at once, in threads and in processes, and in the hands of a killed one."""

import itertools
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection as Pipe
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import pytest

from shards.engines import Shard
from shards.inbox import Outcome
from shards.parts import find_outcomes
from tests.support.part_process import deliver_when_told, hang_inside_work
from tests.support.parts import identity, order_numbers, order_work, sqlite_shard, store_on

WORKERS = 8
PROCESSES = 3
spawning = multiprocessing.get_context("spawn")


@pytest.fixture(name="shard")
def make_shard(tmp_path: Path) -> Iterator[Shard]:
    shard = sqlite_shard(tmp_path, limit=WORKERS, lock_timeout=30)
    yield shard
    shard.close()


def start(target: Any, *arguments: object) -> tuple[SpawnProcess, Pipe]:
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=target, args=(*arguments, theirs))
    process.start()
    theirs.close()
    return process, ours


def test_eight_threads_with_the_same_part_run_it_once(shard: Shard) -> None:
    """All get the outcome of the one that ran it."""
    names = itertools.count()
    barrier = threading.Barrier(WORKERS)

    def deliver(_: int) -> Outcome:
        barrier.wait()
        return store_on(shard).run(identity(), order_work(1, b"%d" % next(names)))

    with ThreadPoolExecutor(WORKERS) as workers:
        outcomes = set(workers.map(deliver, range(WORKERS)))

    assert len(outcomes) == 1
    assert order_numbers(shard) == [1]


def test_many_parts_in_many_threads_are_each_run_once(shard: Shard) -> None:
    """Each of ten parts comes eight times, in different orders."""

    def deliver(worker: int) -> list[Outcome]:
        numbers = [(number + worker) % 10 for number in range(10)]
        outcomes = {
            number: store_on(shard).run(identity(f"job-{number}"), order_work(number, b"%d" % number))
            for number in numbers
        }
        return [outcomes[number] for number in range(10)]

    with ThreadPoolExecutor(WORKERS) as workers:
        answers = list(workers.map(deliver, range(WORKERS)))

    assert answers == [answers[0]] * WORKERS
    assert order_numbers(shard) == list(range(10))


def test_processes_with_the_same_part_run_it_once(shard: Shard) -> None:
    """Workers share nothing but the database."""
    url = str(shard.engine.url)
    workers = [start(deliver_when_told, url, number) for number in range(PROCESSES)]
    for _, pipe in workers:
        assert pipe.recv() == "ready"
    for _, pipe in workers:
        pipe.send("go")
    answers = {pipe.recv() for _, pipe in workers}
    for process, pipe in workers:
        process.join()
        pipe.close()

    assert len(answers - {"busy"}) == 1
    assert order_numbers(shard) == [1]


def test_a_part_whose_worker_was_killed_inside_is_run_by_the_next(shard: Shard) -> None:
    """SIGKILL leaves nothing: no row, no data, no lock."""
    process, pipe = start(hang_inside_work, str(shard.engine.url))
    assert pipe.recv() == "inside"
    process.kill()
    process.join()
    pipe.close()

    assert process.exitcode == -signal.SIGKILL
    assert find_outcomes(shard, None, "job-1", ["c-1"]) == {}
    assert store_on(shard).run(identity(), order_work(1)).state == "succeeded"
    assert order_numbers(shard) == [1]


def test_a_part_that_kills_its_worker_is_failed_in_the_end(shard: Shard) -> None:
    """Its starts are committed before it runs, so that they outlive the process."""
    for _ in range(2):
        assert store_on(shard).count_start(identity(), 2, b"killed") is None
        process, pipe = start(hang_inside_work, str(shard.engine.url))
        assert pipe.recv() == "inside"
        process.kill()
        process.join()
        pipe.close()

    outcome = store_on(shard).count_start(identity(), 2, b"killed")

    assert outcome == Outcome("failed", 1, b"killed", dead_letter=True)
    assert order_numbers(shard) == []
