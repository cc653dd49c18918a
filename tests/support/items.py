"""A table of items with a column of every kind, and runs of the built-in handler on it."""

from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Computed,
    Date,
    DateTime,
    Engine,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    create_engine,
    event,
    select,
    true,
)

from config.result import ErrorDetail
from config.settings import InsertHandler
from handlers.registry import insert_spec
from handlers.testing import HandlerRun, run_handler

SECRET = "s3cret"
MOMENT = datetime.fromisoformat("2026-11-21T10:00:00")
TABLES = MetaData()
GROUPS = Table("item_groups", TABLES, Column("group_no", Integer, primary_key=True))
ITEMS = Table(
    "items",
    TABLES,
    Column("item_id", Integer, primary_key=True),
    Column("customer_id", String(20)),
    Column("item_no", Integer, nullable=False, unique=True),
    Column("name", String(10), nullable=False),
    Column("price", Numeric(8, 2)),
    Column("made_at", DateTime),
    Column("made_on", Date),
    Column("sold", Boolean, nullable=False, server_default=true()),
    Column("facts", JSON),
    Column("photo", LargeBinary),
    Column("group_no", ForeignKey("item_groups.group_no")),
    Column("twice", Integer, Computed("item_no * 2")),
)


def items_engine(directory: Path) -> Engine:
    """An SQLite file with the tables, which keeps foreign keys."""
    engine = create_engine(f"sqlite:///{directory / 'shard.db'}", hide_parameters=True)
    event.listen(
        engine, "connect", lambda connection, _record: connection.execute("PRAGMA foreign_keys = ON")
    )
    TABLES.create_all(engine)
    return engine


def insert(engine: Engine, rows: Any, **section: Any) -> HandlerRun:
    """One run of the built-in handler on rows of the payload, kept if it succeeds."""
    spec = insert_spec(InsertHandler(type="t", **{"table": "items", **section}))
    return run_handler(spec, {"rows": rows}, engine, commit=True)


def error_of(run: HandlerRun, code: str) -> tuple[ErrorDetail, ...]:
    assert run.error is not None
    assert run.error.code == code
    assert SECRET not in f"{run.error}"
    return run.error.details


def stored(engine: Engine, *columns: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        chosen = [ITEMS.c[column] for column in columns or ["item_no"]]
        return [tuple(row) for row in connection.execute(select(*chosen).order_by(ITEMS.c.item_no))]
