"""One bulk load in a process of its own, for `benchmarks.bulk_load`: what it took, on one line."""

import sys
import time
from pathlib import Path

from config.settings import InsertHandler
from handlers.insert import InsertRows
from shards import load_postgresql
from tests.support.bulk_parts import context_of
from tests.support.parts import shard_at

KILOBYTES = 1024


def main() -> None:
    """Load the file and print seconds, CPU seconds and megabytes over idle."""
    url, path, way = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    if way == "plain":
        load_postgresql.has_arrow = lambda: False
    shard = shard_at(url, statement_timeout=600)
    handler = InsertRows(InsertHandler(type="t", table="bulk_lines", source="attachments"))
    with shard.connect() as connection, connection.begin():
        context = context_of(connection, path)
        idle, started, used = resident(), time.perf_counter(), time.process_time()
        handler(None, context)
    taken, spent = time.perf_counter() - started, time.process_time() - used
    print(taken, spent, (resident() - idle) / KILOBYTES)


def resident() -> int:
    """The most kilobytes that this process ever had in memory, and not the one that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    main()
