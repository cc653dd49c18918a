"""One bulk load in a process of its own, for `benchmarks.bulk_load`: what it took, on one line.

A file of a few rows goes before it, as in a worker that has run for a while: what a process does once, such
as to import pyarrow, is not counted in the time, and is in the memory.
"""

import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from config.settings import InsertHandler
from handlers.insert import InsertRows
from shards import load_postgresql
from shards.engines import Shard
from tests.support.bulk_parts import context_of
from tests.support.parts import shard_at

KILOBYTES = 1024
LINES_BEFORE = 2
"""The header of CSV and a row; two of JSON Lines."""


def main() -> None:
    """Load the file and print seconds, CPU seconds and megabytes over idle."""
    url, path, way = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    if way == "plain":
        load_postgresql.has_arrow = lambda: False
    shard = shard_at(url, statement_timeout=600)
    handler = InsertRows(InsertHandler(type="t", table="bulk_lines", source="attachments"))
    idle = resident()
    load_first_rows(shard, handler, path)
    with shard.connect() as connection, connection.begin():
        context = context_of(connection, path)
        started, used = time.perf_counter(), time.process_time()
        handler(None, context)
    taken, spent = time.perf_counter() - started, time.process_time() - used
    print(taken, spent, (resident() - idle) / KILOBYTES)


def load_first_rows(shard: Shard, handler: InsertRows, path: Path) -> None:
    """Load the first lines of the file, and take them back."""
    with tempfile.TemporaryDirectory() as directory, path.open("rb") as lines:
        few = Path(directory) / path.name
        few.write_bytes(b"".join(islice(lines, LINES_BEFORE)))
        with shard.connect() as connection, connection.begin() as transaction:
            handler(None, context_of(connection, few))
            transaction.rollback()


def resident() -> int:
    """The most kilobytes that this process ever had in memory, and not the one that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    main()
