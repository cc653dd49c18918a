"""The purge: inbox rows that no job can ask for any more, deleted in small transactions."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, and_, bindparam, delete, func, or_, select, text, tuple_
from tenacity import (
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_after_attempt,
    wait_random_exponential,
)

from shards.claims import inbox_faults
from shards.engines import Shard
from shards.failures import Kind, classify
from shards.inbox import inbox, to_microseconds
from shards.migrations import schema_prefix

BATCH_ROWS: Final = 5000
MARGIN: Final = timedelta(days=1)
"""What is kept beyond the inbox's retention: clocks differ, and a job may be under way."""

TRIES: Final = 5
RETRIED_KINDS: Final = frozenset({Kind.BUSY, Kind.RETRY_TRANSACTION})

# What was retried with `--too-old` has an outcome that is younger than its row: its copies can still come.
_OLD: Final = and_(
    inbox.c.created_at < bindparam("before"),
    or_(inbox.c.finished_at.is_(None), inbox.c.finished_at < bindparam("before")),
)
_COUNT: Final = select(func.count()).select_from(inbox).where(_OLD)
_OLDEST_KEYS: Final = (
    select(inbox.c.job_id, inbox.c.customer_id).where(_OLD).order_by(inbox.c.created_at).limit(BATCH_ROWS)
)
_DELETE_KEYS: Final = delete(inbox).where(
    tuple_(inbox.c.job_id, inbox.c.customer_id).in_(bindparam("keys", expanding=True))
)
_DELETE_OLDEST: Final = {
    "sqlite": (
        "DELETE FROM {table} WHERE rowid IN"
        " (SELECT rowid FROM {table} WHERE created_at < :before"
        " AND (finished_at IS NULL OR finished_at < :before) ORDER BY created_at LIMIT :rows)"
    ),
    "postgresql": (
        "DELETE FROM {table} WHERE ctid = ANY (ARRAY"
        " (SELECT ctid FROM {table} WHERE created_at < :before"
        " AND (finished_at IS NULL OR finished_at < :before) ORDER BY created_at LIMIT :rows))"
    ),
}


def count_old(shard: Shard, schema: str | None, before: float) -> int:
    """How many inbox rows were made before this moment (seconds since 1970).

    Raises `InboxFault` and what `classify` reads.
    """
    with shard.connect(schema, reading=True) as connection, inbox_faults(shard.dialect):
        return connection.execute(_COUNT, {"before": to_microseconds(before)}).scalar_one()


def purge(
    shard: Shard,
    schema: str | None,
    before: float,
    stop: threading.Event,
    on_batch: Callable[[int], None],
) -> int:
    """Delete the inbox rows that were made before this moment (seconds since 1970), the oldest first.

    At most `BATCH_ROWS` at a time, each batch in a transaction of its own, so that workers go on meanwhile;
    `on_batch` is told how many rows each one deleted. `stop` ends it between two batches. Returns how many
    rows were deleted. Raises `InboxFault` and what `classify` reads; what was deleted until then stays so.
    """
    retrying = Retrying(
        retry=retry_if_exception(lambda error: classify(error, shard.dialect).kind in RETRIED_KINDS),
        stop=stop_after_attempt(TRIES),
        wait=wait_random_exponential(multiplier=0.1, max=2),
        sleep=sleep_using_event(stop),
        reraise=True,
    )
    deleted, count = 0, BATCH_ROWS
    while count == BATCH_ROWS and not stop.is_set():
        count = retrying(_delete_batch, shard, schema, before)
        deleted += count
        on_batch(count)
    return deleted


def _delete_batch(shard: Shard, schema: str | None, before: float) -> int:
    """Delete the oldest rows, at most `BATCH_ROWS`; how many there were."""
    limit = to_microseconds(before)
    with inbox_faults(shard.dialect), shard.connect(schema) as connection, connection.begin():
        if shard.dialect == "mariadb":
            return _delete_keys(connection, limit)
        table = f"{schema_prefix(shard.dialect, schema)}{inbox.name}"
        statement = text(_DELETE_OLDEST[shard.dialect].format(table=table))
        return connection.execute(statement, {"before": limit, "rows": BATCH_ROWS}).rowcount


def _delete_keys(connection: Connection, limit: int) -> int:
    # A range of times, or a SELECT inside the DELETE, would wait there for rows beyond the old ones, which
    # may be those of parts under way.
    keys = [tuple(key) for key in connection.execute(_OLDEST_KEYS, {"before": limit})]
    return connection.execute(_DELETE_KEYS, {"keys": keys}).rowcount if keys else 0
