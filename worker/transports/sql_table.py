"""The embedded queue's database: its table, how it is opened, created and checked."""

import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Double,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    inspect,
)
from sqlalchemy.exc import DBAPIError

METADATA: Final = MetaData()
MESSAGES: Final = Table(
    "shardworker_messages",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("queue", String(80), nullable=False),
    Column("message_group", String(128)),
    Column("sent_at", Double, nullable=False),
    Column("visible_at", Double, nullable=False),
    Column("receipt", String(32)),
    Column("receive_count", Integer, nullable=False),
    Column("attributes", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index("shardworker_messages_next", "queue", "visible_at", "id"),
    sqlite_autoincrement=True,  # an id names one message for ever, also after it is deleted
)
LOCK_TIMEOUT_SECONDS: Final = 30
CLOCK_SKEW_MAXIMUM: Final = timedelta(seconds=5)
READ_ONLY: Final = "shardworker_read_only"


def open_engine(url: URL) -> Engine:
    """An engine for the queue's database; connects on first use. Its errors hold no bodies."""
    if url.get_backend_name() != "sqlite":
        return create_engine(url, hide_parameters=True, max_overflow=20, pool_pre_ping=True)
    engine = create_engine(
        url, hide_parameters=True, max_overflow=20, connect_args={"timeout": LOCK_TIMEOUT_SECONDS}
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def reading(engine: Engine) -> Engine:
    """The same engine for single reads: no transaction stays open between them, and none locks the file."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{READ_ONLY: True})
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def sqlite_path(url: URL) -> Path | None:
    """The file of an SQLite URL; None for other databases."""
    if url.get_backend_name() != "sqlite":
        return None
    return Path(unquote((url.database or "").removeprefix("file:")))


def create_table(url: URL) -> bool:
    """Create the table, and on SQLite the file and its directory; whether the table was created."""
    path = sqlite_path(url)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        url = url.update_query_dict({"mode": "rwc"})
    engine = open_engine(url)
    try:
        return _create_table(engine)
    finally:
        engine.dispose()


def check_database(connection: Connection, now: float) -> list[str]:
    """What is wrong with the database behind a reading connection, a sentence each."""
    if connection.dialect.name != "sqlite":
        return _check_clock(connection, now)
    mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    if mode == "wal":
        return []
    return [
        f"the journal mode is {mode!r}, expected 'wal': readers and writers block each other; run setup again"
    ]


def _create_table(engine: Engine) -> bool:
    if inspect(reading(engine)).has_table(MESSAGES.name):
        return False
    if engine.dialect.name == "sqlite":
        with reading(engine).connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    try:
        return _create_unless_there(engine)
    except DBAPIError:
        if inspect(reading(engine)).has_table(MESSAGES.name):
            return False  # PostgreSQL tells the slower of two creators by an error
        raise


def _create_unless_there(engine: Engine) -> bool:
    with engine.begin() as connection:
        if inspect(connection).has_table(MESSAGES.name):
            return False
        METADATA.create_all(connection, checkfirst=False)
    return True


def _check_clock(connection: Connection, now: float) -> list[str]:
    theirs = connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar_one()
    skew = timedelta(seconds=abs(float(theirs) - now))
    if skew <= CLOCK_SKEW_MAXIMUM:
        return []
    return [f"this machine's clock and the database's differ by {skew}: leases end too early; set the clocks"]


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins no transaction by itself: _begin_sqlite does
    connection.execute("PRAGMA synchronous = FULL")


def _begin_sqlite(connection: Connection) -> None:
    if not connection.get_execution_options().get(READ_ONLY):
        # takes the write lock before the first read, so that a transaction never fails in its middle
        connection.exec_driver_sql("BEGIN IMMEDIATE")
