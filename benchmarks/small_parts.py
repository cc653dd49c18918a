"""Small parts: the worker's CPU, the round trips and the parts a second of each database.

Run it with `make bench`. A part inserts five rows with `insert_rows`. Round trips are exact; CPU is the
worker's own thread's, and the same machine gives twice as much at one time as at another: beside it stands
what the same rows and two plain writes to the inbox cost in turn with it, in a transaction of SQLAlchemy
without a guard, a reset or a savepoint. Parts a second are for orientation only, for the servers share the
machine. A server that is not installed is left out.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert, update

from shards.bulk import insert_rows
from shards.engines import Shard
from shards.inbox import create_inbox, inbox
from tests.support.counting_proxy import counting_proxy
from tests.support.mariadb import running_mariadb
from tests.support.parts import identity, placed_shard_at, shard_at, store_on
from tests.support.postgresql import running_postgresql

PARTS = 2_000
WARM_UP_PARTS = 100
ROWS = 5
THREADS = 8
DATABASE = "bench"
LINES = Table(
    "lines",
    MetaData(),
    Column("line_no", Integer, primary_key=True, autoincrement=False),
    Column("article", String(40)),
    Column("quantity", Integer),
)

Place = tuple[str, int | None]
"""A database's URL and its server's port; None where there is no server."""

_numbers = count()


def main() -> None:
    """Measure each database, without and with placement rows."""
    for name, database in {
        "SQLite": sqlite_file,
        "PostgreSQL": postgresql_server,
        "MariaDB": mariadb_server,
    }.items():
        with ExitStack() as stack:
            try:
                url, port = stack.enter_context(database())
            except pytest.skip.Exception as absent:
                print(f"{name}: left out, {absent}")
                continue
            for label, make in (("", shard_at), (", placement checked", placed_shard_at)):
                print(f"{name}{label}: {ROWS} rows a part, {PARTS} parts")
                measure(make, url, port)


def measure(make: Callable[[str], Shard], url: str, port: int | None) -> None:
    """Print one database's figures."""
    shard = make(url)
    create_inbox(shard, None)
    with shard.connect() as connection, connection.begin():
        LINES.create(connection, checkfirst=True)
    run_parts(shard, WARM_UP_PARTS)
    started = time.perf_counter()
    run_parts(shard, PARTS)
    alone = time.perf_counter() - started
    in_turn = [(cpu_milliseconds(part_on(shard)), cpu_milliseconds(plain_on(shard))) for _ in range(PARTS)]
    ours, plain = zip(*in_turn, strict=True)
    print(f"  worker CPU per part    {statistics.fmean(ours):.3f} ms, median {median(ours)} ms")
    print(f"  a plain transaction    {statistics.fmean(plain):.3f} ms, median {median(plain)} ms")
    print(f"  parts/s, 1 thread      {PARTS / alone:.0f}")
    print(f"  parts/s, {THREADS} threads     {PARTS / seconds_together(shard):.0f}")
    shard.close()
    if port is not None:
        print(f"  round trips per part   {round_trips(make, url, port):.2f}")


def median(milliseconds: Sequence[float]) -> str:
    """The middle one, which a busy neighbour hardly changes."""
    return f"{statistics.median(milliseconds):.3f}"


def run_parts(shard: Shard, parts: int) -> list[float]:
    """Run so many new parts, one after the other; the CPU milliseconds of each."""
    return [cpu_milliseconds(part_on(shard)) for _ in range(parts)]


def cpu_milliseconds(run: Callable[[], object]) -> float:
    """What this thread spends on a call."""
    before = time.thread_time()
    run()
    return (time.thread_time() - before) * 1000


def part_on(shard: Shard) -> Callable[[], object]:
    """A new part, ready to be run; a part store is made for each, as the executor does."""
    number = next(_numbers)
    part = replace(identity(), job_id=f"job-{number}")
    rows = rows_of(number)

    def work(connection: Connection) -> bytes:
        insert_rows(connection, LINES, rows)
        return b'{"inserted":5}'

    return lambda: store_on(shard, clock=time.time).run(part, work)


def plain_on(shard: Shard) -> Callable[[], object]:
    """The least that could be done with SQLAlchemy: the rows, and a row of the inbox written twice."""
    part = replace(identity(), job_id=f"job-{next(_numbers)}")
    rows = rows_of(next(_numbers))
    row = {
        **asdict(part),
        "state": "claimed",
        "attempt": 0,
        "starts": 0,
        "dead_letter": False,
        "created_at": 1,
    }
    key = (inbox.c.job_id == part.job_id, inbox.c.customer_id == part.customer_id)

    def transaction() -> None:
        with shard.engine.begin() as connection:
            connection.execute(insert(inbox), row)
            connection.execute(insert(LINES), rows)
            connection.execute(update(inbox).where(*key), {"state": "succeeded", "outcome": b"{}"})

    return transaction


def rows_of(number: int) -> list[dict[str, object]]:
    """Five rows that nobody else has."""
    lines = range(number * ROWS, (number + 1) * ROWS)
    return [{"line_no": line, "article": f"article {line}", "quantity": 1} for line in lines]


def seconds_together(shard: Shard) -> float:
    """How long all parts take with several threads."""
    parts = [part_on(shard) for _ in range(PARTS)]
    started = time.perf_counter()
    with ThreadPoolExecutor(min(THREADS, shard.limit)) as threads:
        for done in [threads.submit(part) for part in parts]:
            done.result()
    return time.perf_counter() - started


def round_trips(make: Callable[[str], Shard], url: str, port: int) -> float:
    """How often a part waits for its server, counted on the wire."""
    with counting_proxy(port) as proxy:
        shard = make(url.replace(f":{port}/", f":{proxy.port}/"))
        run_parts(shard, WARM_UP_PARTS)
        before = proxy.round_trips
        run_parts(shard, WARM_UP_PARTS)
        shard.close()
        return (proxy.round_trips - before) / WARM_UP_PARTS


@contextmanager
def sqlite_file() -> Iterator[Place]:
    """An SQLite file."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "shard.db"
        path.touch()
        yield f"sqlite:///{path}", None


@contextmanager
def postgresql_server() -> Iterator[Place]:
    """A database of a PostgreSQL server."""
    with running_postgresql() as server:
        server.create_database(DATABASE)
        yield server.url(DATABASE), server.port


@contextmanager
def mariadb_server() -> Iterator[Place]:
    """A database of a MariaDB server."""
    with running_mariadb() as server:
        server.create_database(DATABASE)
        yield server.url(DATABASE), server.port


if __name__ == "__main__":
    main()
