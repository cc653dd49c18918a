"""Many shards on one server in one process: connections against the budget, connects per part, memory.

Run it with `make bench-shards`. The server is a private PostgreSQL. 500 shards are
500 names with an engine and a pool each, for 50 databases: a database takes 7 MB of disk, and for connections
only the shard counts. Counts are exact, as the kernel sees them; times are for orientation only.
"""

import argparse
import itertools
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.pool import Pool

from config import settings
from shards.engines import IDLE_SECONDS, Shard, Shards
from shards.inbox import create_inbox
from tests.support.own_connections import connections_to
from tests.support.parts import create_orders, identity, insert_order, shard_at, store_on
from tests.support.postgresql import PostgreSQLServer, running_postgresql

THREADS = 8
SAMPLE_SECONDS = 0.02
BUSY_SHARDS = 10
BUSY_SHARE = 0.9
ROWS_PER_PART = 5
SEED = 1

counts: Counter[str] = Counter()
numbers = itertools.count()


def main() -> None:
    """Run the parts of the benchmark and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=500)
    parser.add_argument("--databases", type=int, default=50)
    parser.add_argument("--parts", type=int, default=2_000)
    parser.add_argument("--connections", type=int, default=20)
    options = parser.parse_args()
    event.listen(Pool, "connect", count_connect)
    with running_postgresql() as server:
        databases = make_databases(server, options.databases)
        print(f"{options.shards} shards, {options.databases} databases, one server, {THREADS} threads")
        shards = make_shards(server, databases, options.shards, options.connections)
        measure("round robin", server, shards, round_robin(shards, options.parts))
        measure("nine of ten parts on ten shards", server, shards, skewed(shards, options.parts))
        let_idle(server, shards)


def make_databases(server: PostgreSQLServer, count: int) -> list[str]:
    """Databases with an inbox and a table of orders: one, and copies of it."""
    server.create_database("database_0")
    first = shard_at(server.url("database_0"))
    create_inbox(first, None)
    create_orders(first)
    first.close()
    names = [f"database_{number}" for number in range(count)]
    server.execute(*(f"CREATE DATABASE {name} TEMPLATE database_0" for name in names[1:]))
    return names


def make_shards(server: PostgreSQLServer, databases: list[str], count: int, connections: int) -> Shards:
    """The shards, with a budget for their server; their engines are made on first use."""
    urls = itertools.cycle(server.url(database) for database in databases)
    sections = {f"shard-{number}": settings.Shard(url=next(urls)) for number in range(count)}
    budget = {f"127.0.0.1:{server.port}": settings.Server(connections=connections)}
    return Shards(sections, budget)


def round_robin(shards: Shards, count: int) -> list[Shard]:
    """Each part on the next shard: no connection is ever used twice in time."""
    names = itertools.cycle(shards.names)
    return [shards.get(next(names)) for _ in range(count)]


def skewed(shards: Shards, count: int) -> list[Shard]:
    """Most parts on a few shards, the others anywhere."""
    chooser = random.Random(SEED)  # noqa: S311 - a repeatable order, not a secret
    busy = shards.names[:BUSY_SHARDS]
    some = (busy if chooser.random() < BUSY_SHARE else shards.names for _ in range(count))
    return [shards.get(chooser.choice(names)) for names in some]


def measure(title: str, server: PostgreSQLServer, shards: Shards, order: list[Shard]) -> None:
    """Run a part on each of these shards, on all threads, and print what it took."""
    counts.clear()
    memory, began = resident_mib(), time.perf_counter()
    with sampling(server.port) as most, ThreadPoolExecutor(THREADS) as threads:
        outcomes = Counter(threads.map(run_part, order))
    seconds, cpu_ms = time.perf_counter() - began, counts["cpu_ns"] / len(order) / 1e6
    (counted,) = shards.open_connections().values()
    print(f"{title}: {len(order)} parts, {dict(outcomes)}")
    print(f"  connections at most   {max(most)}, counted by the budget at the end {counted}")
    print(f"  connects per part     {counts['connects'] / len(order):.3f}")
    print(f"  parts per second      {len(order) / seconds:.0f}, CPU per part {cpu_ms:.2f} ms")
    print(f"  memory                {memory:.0f} -> {resident_mib():.0f} MiB")


def run_part(shard: Shard) -> str:
    """A part of five rows; its outcome's state, or what it failed with."""
    number, cpu = next(numbers), time.thread_time_ns()

    def work(connection: Connection) -> bytes:
        for row in range(ROWS_PER_PART):
            insert_order(connection, number * ROWS_PER_PART + row)
        return b"{}"

    try:
        return store_on(shard).run(identity(f"job-{number}"), work).state
    except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
        return type(error).__name__
    finally:
        counts["cpu_ns"] += time.thread_time_ns() - cpu


def let_idle(server: PostgreSQLServer, shards: Shards) -> None:
    """Use nothing for as long as a connection may be idle, look as the daemon does, and go on."""
    time.sleep(IDLE_SECONDS + 1)
    before = connections_to(server.port)
    shards.close_idle()
    after = connections_to(server.port)
    print(f"idle for {IDLE_SECONDS + 1:.0f} s: {before} connections before the look, {after} after it")
    measure("after that", server, shards, round_robin(shards, len(shards.names)))


@contextmanager
def sampling(port: int) -> Iterator[list[int]]:
    """The number of this process's connections to the port, every few milliseconds."""
    samples: list[int] = []
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            samples.append(connections_to(port))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def count_connect(_connection: Any, _record: Any) -> None:
    """A connection was made."""
    counts["connects"] += 1


def resident_mib() -> float:
    """The memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
