"""Parts that load a file of several blocks, for the tests that interrupt them."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import structlog
from sqlalchemy import Connection, event, func, select, table
from sqlalchemy.exc import DBAPIError

from config.job import Job
from config.result import succeeded
from config.settings import InsertHandler
from handlers.contract import LocalAttachment, PartContext
from handlers.registry import insert_spec
from shards.directory import Placement, PlacementState
from shards.engines import Shard
from shards.failures import Kind, classify
from shards.inbox import Outcome
from tests.support.parts import identity, shard_at, store_on

PATIENCE_SECONDS = 60.0
ROW_COUNT = 40_000
LINE = "{0},name {0} with letters enough that a million of them fill a file\n"
CREATE = "CREATE TABLE bulk_lines (line_no INTEGER PRIMARY KEY, name VARCHAR(90) NOT NULL)"


def write_lines(path: Path) -> Path:
    """A CSV file of several blocks."""
    lines = (LINE.format(number) for number in range(ROW_COUNT))
    path.write_text("line_no,name\n" + "".join(lines), encoding="utf-8")
    return path


def run_load(shard: Shard, path: Path) -> Outcome:
    """Run the part that loads the file, as often as a session that has just died still has its lock."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return _run_load(shard, path)
        except DBAPIError as error:
            if classify(error, shard.dialect).kind is not Kind.BUSY or time.monotonic() > deadline:
                raise


def _run_load(shard: Shard, path: Path) -> Outcome:
    spec = insert_spec(InsertHandler(type="t", table="bulk_lines", source="attachments"))

    def work(connection: Connection) -> bytes:
        return succeeded("c-1", spec.call(None, context_of(connection, path)))

    return store_on(shard).run(identity(), work)


def context_of(connection: Connection, path: Path) -> PartContext:
    """What a handler is given for a part with this file."""
    return PartContext(
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


def committed(shard: Shard) -> tuple[int, int]:
    """How many lines and how many rows of the inbox are committed."""
    with shard.connect() as connection, connection.begin():
        lines, parts = (
            connection.execute(select(func.count()).select_from(table(name))).scalar_one()
            for name in ("bulk_lines", "shardworker_inbox")
        )
    return lines, parts


@contextmanager
def after_first_block(shard: Shard, call: Callable[[Connection], None]) -> Iterator[None]:
    """Inside the block, call this whenever a block of a file is in the database and not committed."""

    def note(connection: Connection, _name: str, _context: object) -> None:
        call(connection)

    event.listen(shard.engine, "release_savepoint", note)
    try:
        yield
    finally:
        event.remove(shard.engine, "release_savepoint", note)


def hang_in_load(url: str, path: Path, pipe: Pipe) -> None:
    """Load the file's first block, tell so, and wait to be killed."""
    shard = shard_at(url, limit=1)

    def hang(_connection: Connection) -> None:
        pipe.send("inside")
        pipe.recv()

    with after_first_block(shard, hang):
        run_load(shard, path)
