"""What the protocol tests share: the inbox's writes, looks at it, and mishaps."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import Connection, Dialect, Insert, Update, event, text

from shards import ready
from shards.engines import Shard
from shards.failure_codes import CONFLICT
from shards.failures import KnownFailure, failure_of
from shards.inbox import (
    InboxRow,
    PartIdentity,
)
from shards.parts import PartStore, find_outcomes
from tests.support.parts import (
    ORDERS,
    order_work,
)

BODY = bytes(range(256))
"""An outcome of every byte there is."""
Write = Callable[[PartStore, PartIdentity], object]

WRITES: dict[str, Write] = {
    "run": lambda store, part: store.run(part, order_work(99)),
    "fail": lambda store, part: store.fail(part, b"failed", dead_letter=False),
    "count_attempt": lambda store, part: store.count_attempt(part, 5, lambda _: b"exhausted"),
    "count_start": lambda store, part: store.count_start(part, 3, b"killed"),
    "take_back_start": lambda store, part: store.take_back_start(part),
}
every_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())


class HandlerMishap(Exception):
    """What a handler raises that nobody expected."""


def the_row(shard: Shard, job_id: str = "job-1") -> InboxRow:
    """The one row of a job."""
    return find_outcomes(shard, None, job_id, ["c-1"])["c-1"]


def never(_: Connection) -> bytes:
    """Work that must not be called."""
    raise AssertionError("the work was run where an outcome was there")


def conflict() -> KnownFailure:
    """What a deadlock is to the layers above the driver."""
    return KnownFailure(failure_of(CONFLICT))


@contextmanager
def statements_of(shard: Shard) -> Iterator[list[str]]:
    """The first words of what goes to the database, BEGIN and COMMIT of the engine among them."""
    seen: list[str] = []
    compile_ready = ready._compile

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement.split(maxsplit=1)[0])

    def note_commit(_connection: Any) -> None:
        seen.append("COMMIT")

    def note_ready(dialect: Dialect, statement: Insert | Update, columns: tuple[str, ...]) -> Any:
        note(None, None, str(statement))
        return compile_ready(dialect, statement, columns)

    event.listen(shard.engine, "before_cursor_execute", note)
    event.listen(shard.engine, "commit", note_commit)
    with patch.object(ready, "_compile", note_ready):
        yield seen
    event.remove(shard.engine, "before_cursor_execute", note)
    event.remove(shard.engine, "commit", note_commit)


def order_numbers_inside(connection: Connection) -> list[int]:
    """The orders that a transaction sees."""
    return list(connection.execute(ORDERS.select().with_only_columns(ORDERS.c.order_no)).scalars())


def execute(shard: Shard, statement: str) -> None:
    """Run one statement in a transaction of its own."""
    with shard.connect() as connection, connection.begin():
        connection.execute(text(statement))


def end_beneath(connection: Connection, how: str, *, by_driver: bool) -> None:
    """End the transaction beneath SQLAlchemy, by SQL or by the driver's own method."""
    if by_driver:
        driver: Any = connection.connection.driver_connection
        getattr(driver, how.lower())()
    else:
        connection.exec_driver_sql(how)
