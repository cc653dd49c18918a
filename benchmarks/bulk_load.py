r"""Bulk loading beside each database's own loader: the same file, the same table, in turn.

Run it with `make bench-bulk`. A file of a million rows (about 100 MB of CSV: quotes, newlines, UTF-8; the
same as JSON Lines) goes through the built-in insertion handler, every row validated, in one transaction, and
through `psql \copy`, `LOAD DATA LOCAL` and `.import`, which validate nothing. Each load is a process of its
own. Both take turns, for the machine is not always as fast; what counts is the median of the ratios of each
turn, and where neighbours are busy, that of the CPU which client and server took together. `--rows`,
`--turns` and `--database` make it shorter. A server that is not installed is left out.
"""

import argparse
import csv
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import text

from tests.support.mariadb import MariaDBServer, running_mariadb
from tests.support.parts import shard_at
from tests.support.postgresql import running_postgresql

NAMES = ("line_no", "customer_no", "article", "note", "price", "ordered_at", "paid")
WORDS = (
    *("Schraube", "größer", "łódź", "naïve", "Ω-ring", "plain", "bolt", "日本"),
    *('quote "x"', "line\nbreak", "comma, here", "tab\there"),
)
CREATE = (
    "CREATE TABLE bulk_lines (line_no INTEGER PRIMARY KEY, customer_no INTEGER NOT NULL,"
    " article VARCHAR(40) NOT NULL, note TEXT, price NUMERIC(10, 2) NOT NULL,"
    " ordered_at {moment} NOT NULL, paid {truth} NOT NULL)"
)
ROUNDS = (("csv", "fast"), ("csv", "plain"), ("jsonl", "fast"), ("jsonl", "plain"))


class Place(NamedTuple):
    """A database: its URL, how its own loader is called on a CSV file, and the rounds of ours."""

    url: str
    moment: str
    truth: str
    own_loader: Callable[[Path], list[str]]
    rounds: tuple[tuple[str, str], ...]
    server: Callable[[], int | None] = lambda: None
    """The id of the server's process; None where there is none."""


class Load(NamedTuple):
    """What a load took: seconds, CPU seconds of the client and of all, megabytes over idle."""

    seconds: float
    cpu: float
    cpu_together: float
    megabytes: float


def main() -> None:
    """Measure each database."""
    parser = argparse.ArgumentParser(description="Bulk loading beside each database's own loader.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--database", choices=DATABASES, nargs="*", default=list(DATABASES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shardworker-bench-") as directory:
        files = write_files(Path(directory), options.rows)
        for name in options.database:
            with ExitStack() as stack:
                try:
                    place = stack.enter_context(DATABASES[name](Path(directory)))
                except (pytest.skip.Exception, FileNotFoundError) as absent:
                    print(f"{name}: left out, {absent}")
                    continue
                print(f"{name}: {options.rows} rows, {options.turns} turns")
                measure(place, files, options.turns)


def write_files(directory: Path, row_count: int) -> dict[str, Path]:
    """The same rows as CSV and as JSON Lines."""
    chance = random.Random(7)  # noqa: S311 - no secret: the same rows in each run
    files = {"csv": directory / "lines.csv", "jsonl": directory / "lines.jsonl"}
    with (
        files["csv"].open("w", newline="", encoding="utf-8") as csv_file,
        files["jsonl"].open("w", encoding="utf-8") as json_file,
    ):
        writer = csv.writer(csv_file, lineterminator="\n")
        writer.writerow(NAMES)
        for number in range(row_count):
            row = row_of(number, chance)
            writer.writerow("" if value is None else value for value in row)
            named = dict(zip(NAMES, row, strict=True))
            json_file.write(json.dumps(named | {"paid": row[-1] == "1"}, ensure_ascii=False) + "\n")
    return files


def row_of(number: int, chance: random.Random) -> tuple[int, int, str, str | None, str, str, str]:
    """One row, with a note of some words in nine of ten."""
    note = " ".join(chance.choices(WORDS, k=6)) if chance.random() < 0.9 else None
    day = f"2026-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}"
    price = f"{chance.randrange(10**6) / 100:.2f}"
    return (
        number,
        chance.randrange(10**6),
        f"A-{chance.randrange(10**5):05}",
        note,
        price,
        f"{day} {chance.randrange(24):02}:{chance.randrange(60):02}:00",
        chance.choice("01"),
    )


def measure(place: Place, files: dict[str, Path], turns: int) -> None:
    """Print the ratios of our loads to the own loader's."""
    owns: list[Load] = []
    ours: dict[str, list[tuple[Load, Load]]] = {}
    for _ in range(turns):
        for form, way in place.rounds:
            owns.append(own_load(place, files["csv"]))
            ours.setdefault(f"{form} {way}", []).append((our_load(place, files[form], way), owns[-1]))
    seconds, _, cpu, _ = medians(owns)
    print(f"  its own loader {seconds:8.2f} s, {cpu:6.2f} s of CPU with the server")
    for name, pairs in ours.items():
        tell(name, pairs)


def tell(name: str, pairs: Sequence[tuple[Load, Load]]) -> None:
    """Print what our loads took, each beside the own loader's before it."""
    seconds, cpu, together, megabytes = medians([load for load, _ in pairs])
    walls = [load.seconds / own.seconds for load, own in pairs]
    cpus = [load.cpu_together / own.cpu_together for load, own in pairs]
    told = ", ".join(f"{ratio:.2f}" for ratio in walls)
    print(
        f"  {name:14} {seconds:8.2f} s, {together:6.2f} s of CPU with the server, {cpu:5.2f} s the worker's, "
        f"{megabytes:4.0f} MB over idle: {statistics.median(walls):.2f} times ({told}), "
        f"{statistics.median(cpus):.2f} times the CPU"
    )


def medians(loads: Sequence[Load]) -> Load:
    """The middle of each figure."""
    return Load(*(statistics.median(values) for values in zip(*loads, strict=True)))


def own_load(place: Place, file: Path) -> Load:
    """Load by the database's own program."""
    make_table(place)
    return measured(place, place.own_loader(file))


def our_load(place: Place, file: Path, way: str) -> Load:
    """Load by the built-in handler in a process of its own."""
    make_table(place)
    # the extra `fast` has a driver of its own for MariaDB
    url = place.url.replace("+pymysql", "+mysqldb") if way == "fast" else place.url
    return measured(place, [sys.executable, "-m", "benchmarks.bulk_load_one", url, str(file), way])


def measured(place: Place, command: Sequence[str]) -> Load:
    """What the command took; one of ours tells its own figures, without its start."""
    server, used, started = server_cpu(place), children_cpu(), time.perf_counter()
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, cpu, megabytes = time.perf_counter() - started, children_cpu() - used, 0.0
    if "benchmarks.bulk_load_one" in command:
        seconds, cpu, megabytes = map(float, ran.stdout.split())
    return Load(seconds, cpu, cpu + server_cpu(place) - server, megabytes)


def children_cpu() -> float:
    """The CPU seconds of all children of this process that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def server_cpu(place: Place) -> float:
    """The CPU seconds of the server's process, of its children and of those that have ended."""
    process = place.server()
    if process is None:
        return 0.0
    children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    ticks = sum(map(ticks_of, [str(process), *children]))
    return ticks / os.sysconf("SC_CLK_TCK")


def ticks_of(process: str) -> int:
    """A process's own CPU and that of its ended children, in clock ticks; none once it has ended."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return 0
    return sum(map(int, stat.rpartition(")")[2].split()[11:15]))


def make_table(place: Place) -> None:
    """An empty table."""
    shard = shard_at(place.url)
    with shard.connect() as connection, connection.begin():
        connection.execute(text("DROP TABLE IF EXISTS bulk_lines"))
        connection.execute(text(CREATE.format(moment=place.moment, truth=place.truth)))
    shard.close()


@contextmanager
def postgresql(_directory: Path) -> Iterator[Place]:
    """A database of a PostgreSQL server."""
    with running_postgresql() as server:
        server.create_database("bench")
        url = server.url("bench")

        def copy(file: Path) -> list[str]:
            command = f"\\copy bulk_lines FROM '{file}' (FORMAT csv, HEADER true)"
            return ["psql", "-q", url.replace("+psycopg", ""), "-c", command]

        yield Place(url, "TIMESTAMP", "BOOLEAN", copy, ROUNDS, lambda: server.processes()[0])


@contextmanager
def mariadb(_directory: Path) -> Iterator[Place]:
    """A database of a MariaDB server."""
    with running_mariadb(innodb_buffer_pool_size="512M", innodb_log_file_size="256M") as server:
        server.create_database("bench")

        def load(file: Path) -> list[str]:
            statement = (
                f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE bulk_lines CHARACTER SET utf8mb4 "
                "FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' ESCAPED BY '' "
                "LINES TERMINATED BY '\\n' IGNORE 1 LINES"
            )
            login = ["--protocol=tcp", "-h127.0.0.1", f"-P{server.port}", "-utests"]
            password = server.url("bench").split(":")[2].partition("@")[0]
            return ["mariadb", *login, f"-p{password}", "--local-infile=1", "bench", "-e", statement]

        yield Place(server.url("bench"), "DATETIME", "BOOLEAN", load, ROUNDS, lambda: server_process(server))


def server_process(server: MariaDBServer) -> int:
    """The id of MariaDB's process."""
    return int((server.home / "pid").read_text(encoding="ascii"))


@contextmanager
def sqlite(directory: Path) -> Iterator[Place]:
    """An SQLite file."""
    path = directory / "shard.db"
    path.touch()

    def load(file: Path) -> list[str]:
        return ["sqlite3", str(path), ".mode csv", f".import --skip 1 {file} bulk_lines"]

    yield Place(f"sqlite:///{path}", "DATETIME", "BOOLEAN", load, ROUNDS)


DATABASES = {"PostgreSQL": postgresql, "MariaDB": mariadb, "SQLite": sqlite}


if __name__ == "__main__":
    main()
