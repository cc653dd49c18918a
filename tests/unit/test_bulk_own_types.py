"""Column types that somebody derived, or gave a form: their rows are bound as SQLAlchemy binds them."""

from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, insert
from sqlalchemy.dialects.sqlite import DATE, DATETIME, TIME
from sqlalchemy.types import TypeEngine

from shards.bulk import insert_rows
from tests.support.parts import sqlite_shard

DAY = "%(year)d-%(month)d-%(day)d"
MOMENT = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - as the column, which knows no zone
CLOCK = "%(hour)d:%(minute)d:%(second)d.%(microsecond)06d"


class NoneIsZero(Integer):
    """Binds a number for None."""

    cache_ok = True

    def bind_processor(self, dialect: Any) -> Callable[[Any], Any]:  # noqa: ARG002 - SQLAlchemy's
        """As SQLAlchemy calls it."""
        return lambda value: 0 if value is None else value


class Backwards(String):
    """Binds the text from behind."""

    cache_ok = True

    def bind_processor(self, dialect: Any) -> Callable[[Any], Any]:  # noqa: ARG002 - SQLAlchemy's
        """As SQLAlchemy calls it."""
        return lambda value: value[::-1]


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (NoneIsZero(), None),
        (Backwards(), "abc"),
        (DATE(storage_format=DAY), date(2026, 1, 2)),  # type: ignore[no-untyped-call]
        (DATETIME(storage_format=f"{DAY} {CLOCK}"), MOMENT),  # type: ignore[no-untyped-call]
        (TIME(storage_format=CLOCK), time(3, 4, 5)),  # type: ignore[no-untyped-call]
    ],
)
def test_many_rows_are_bound_as_one_is(tmp_path: Path, type_: TypeEngine[Any], value: Any) -> None:
    """Enough of them to be loaded by columns, where their types allow it."""
    table = Table("things", MetaData(), Column("number", Integer), Column("value", type_))
    rows = [{"number": number, "value": value} for number in range(100)]
    shard = sqlite_shard(tmp_path)
    with shard.connect() as connection, connection.begin():
        table.create(connection)
        insert_rows(connection, table, iter(rows))
        connection.execute(insert(table), rows[:1])
        found = connection.exec_driver_sql("SELECT value FROM things").scalars().all()
    shard.close()

    assert len(found) == 101
    assert len(set(found)) == 1
