"""One bulk load in a process of its own, for `benchmarks.bulk_load`: what it took, on one line."""

import resource
import sys
import threading
import time
from pathlib import Path

import structlog

from config.job import Job
from config.settings import InsertHandler
from handlers.contract import LocalAttachment, PartContext
from handlers.insert import InsertRows
from shards import load_postgresql
from shards.directory import Placement, PlacementState
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
        context = PartContext(
            connection=connection,
            job=Job(job_id="job-1", type="t", partner_id="acme", customers=("c-1",)),
            job_type="t",
            customer_id="c-1",
            placement=Placement("c-1", "one", None, PlacementState.ACTIVE, 1),
            attachments={path.name: LocalAttachment(path.name, path, path.stat().st_size, "")},
            log=structlog.get_logger(),
            lease_lost=threading.Event(),
            clock=time.monotonic,
            deadline=time.monotonic() + 600,
        )
        idle, started, used = resident(), time.perf_counter(), time.process_time()
        handler(None, context)
    taken, spent = time.perf_counter() - started, time.process_time() - used
    print(taken, spent, (resident() - idle) / KILOBYTES)


def resident() -> int:
    """The most kilobytes that this process ever had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
