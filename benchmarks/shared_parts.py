"""Small parts that share transactions beside parts that have their own: CPU, in turn, as a ratio.

Run it with `make bench-shared`. Jobs of one customer and five rows each, on PostgreSQL and MariaDB. First the
part alone, on one thread: claim, rows, outcome, COMMIT. Then the whole worker process on a backlog, with its
queues (the stand-in for SQS), from receive to ack; what it takes to start is measured and subtracted. CPU is
the worker's own; on a busy machine both ways cost more, and the ratio stays.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.small_jobs import sqs_server
from benchmarks.small_parts import LINES, Place, mariadb_server, part_on, postgresql_server, rows_of
from shards.bulk import insert_rows
from shards.directory import Placement, PlacementState
from shards.engines import Shard
from shards.guard import PartConnection
from shards.inbox import create_inbox
from shards.lending import lent
from shards.shared_parts import Member, run_together
from tests.support.parts import identity, shard_at
from tests.support.world import World, job

GROUP: Final = 20
TURNS: Final = 40
JOBS: Final = 1_500
ROUNDS: Final = 3

_numbers = count(1_000_000)


def main() -> None:
    """Measure each server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "eu-west-1"}
    for name, database in {"PostgreSQL": postgresql_server, "MariaDB": mariadb_server}.items():
        with ExitStack() as stack:
            try:
                place = stack.enter_context(database())
            except pytest.skip.Exception as absent:
                print(f"{name}: left out, {absent}")
                continue
            measure_parts(name, place)
            measure_worker(name, place, options.jobs, options.rounds)


def measure_parts(name: str, place: Place) -> None:
    """Print what a part costs on one thread, alone and in groups, in turn."""
    shard = shard_at(place[0])
    create_inbox(shard, None)
    with shard.connect() as connection, connection.begin():
        LINES.create(connection, checkfirst=True)
    for group in (10, GROUP):
        alone: list[float] = []
        shared: list[float] = []
        for _ in range(TURNS):
            alone.append(cpu_milliseconds([part_on(shard) for _ in range(group)]) / group)
            shared.append(cpu_milliseconds([partial(run_group, shard, group)]) / group)
        print_ratio(f"{name}, the part in groups of {group}", alone, shared)
    shard.close()


def run_group(shard: Shard, group: int) -> None:
    """Run so many new parts in one transaction."""
    run_together(shard, [member_on(shard) for _ in range(group)], time.time)


def member_on(shard: Shard) -> Member:
    """A new part of five rows."""
    number = next(_numbers)
    rows = rows_of(number)

    def work(connection: PartConnection) -> bytes:
        with lent(connection):
            insert_rows(connection, LINES, rows)
        return b'{"inserted":5}'

    placement = Placement("c-1", shard.name, None, PlacementState.ACTIVE, 1)
    return Member(replace(identity(), job_id=f"job-{number}"), placement, work)


def measure_worker(name: str, place: Place, jobs: int, rounds: int) -> None:
    """Print what a job costs the whole worker, with and without groups, in turn."""
    with tempfile.TemporaryDirectory() as directory, sqs_server(0.0) as endpoint:
        queue = f"sqs+{endpoint}/000000000000"
        world = World(Path(directory), f"{queue}/requests", f"{queue}/responses", f"{queue}/failures")
        configuration = world.config_path.read_text()
        alone: list[float] = []
        shared: list[float] = []
        for _ in range(rounds):
            for costs, group in ((alone, 1), (shared, GROUP)):
                world.config_path.write_text(configured(configuration, place[0], group))
                start = worker_cpu_seconds(world, 1)
                costs.append((worker_cpu_seconds(world, jobs) - start) / (jobs - 1) * 1000)
        print_ratio(f"{name}, the worker from receive to ack", alone, shared)
        world.close()


def configured(text: str, url: str, group: int) -> str:
    """A world's configuration with all customers on one shard, whose parts may share."""
    text = re.split(r"\n\[shards\.", text, maxsplit=1)[0]
    text = text.replace('lease = "9s"', 'lease = "120s"').replace("concurrency = 4", "concurrency = 8")
    text = text.replace('table = "orders"', 'table = "lines"')
    text = text.replace('customer_column = "customer_id"\n', "")
    return (
        f'{text}\n[types."orders.insert"]\ngroup = {group}\n'
        f'[shards.one]\nurl = "{url}"\n[directory.customers]\nc-0 = "one"\n'
    )


def worker_cpu_seconds(world: World, jobs: int) -> float:
    """The CPU of a worker that settles so many jobs that wait for it, and leaves."""
    world.send(*[five_rows(next(_numbers)) for _ in range(jobs)])
    command = [sys.executable, "-m", "worker", "consume", "--config", str(world.config_path)]
    process = subprocess.Popen([*command, "--limit", str(jobs)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    results = world.take_all(world.response)
    world.response.ack(results)
    answers = Counter(json.loads(result.body)["status"] for result in results)
    assert answers == {"succeeded": jobs}, answers  # noqa: S101 - figures of failed jobs mean nothing
    return usage.ru_utime + usage.ru_stime


def five_rows(number: int) -> dict[str, Any]:
    """A job of one customer."""
    return job(f"job-{number}", ["c-0"], rows=rows_of(number))


def cpu_milliseconds(runs: Sequence[Callable[[], object]]) -> float:
    """What this thread spends on calls."""
    before = time.thread_time()
    for run in runs:
        run()
    return (time.thread_time() - before) * 1000


def print_ratio(what: str, alone: Sequence[float], shared: Sequence[float]) -> None:
    """The middle of each, in milliseconds of CPU, and how many times as much goes for the same."""
    one, other = statistics.median(alone), statistics.median(shared)
    print(f"{what}: alone {one:.3f} ms, shared {other:.3f} ms, {one / other:.2f} times as many a CPU second")


if __name__ == "__main__":
    main()
