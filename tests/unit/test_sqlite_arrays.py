"""Pyarrow's columns on SQLite: bound as SQLAlchemy binds the same values, whatever the texts have in them."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, Table, insert, select, types

from shards.column_blocks import Columns
from shards.engines import Shard
from shards.load import open_loader
from shards.marked_text import texts_in_rows
from tests.support.parts import sqlite_shard

pa = pytest.importorskip("pyarrow")

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 60)  # noqa: DTZ001 - as the column, which knows no zone
COLUMNS: Mapping[str, tuple[types.TypeEngine[Any], Any, list[Any]]] = {
    "number": (types.BigInteger(), "int64", [1, -(2**63), None]),
    "word": (types.String(9), "string", ["a\nb", "", None]),
    "price": (types.Numeric(30, 12), (30, 12), [Decimal("0.000000000001"), Decimal("-17.1"), None]),
    "ratio": (types.DOUBLE(), "float64", [1e300, 0.1, None]),
    "sold": (types.Boolean(), "bool", [True, False, None]),
    "made_on": (types.Date(), "date32", [date(1, 1, 1), date(2026, 11, 21), None]),
    "made_at": (types.DateTime(), "timestamp[us]", [MOMENT.replace(year=1), MOMENT, None]),
    "clock": (types.Time(), "time64[us]", [time(0), time(23, 59, 59, 999999), None]),
}


@pytest.fixture(name="shard")
def make_shard(tmp_path: Path) -> Iterator[Shard]:
    shard = sqlite_shard(tmp_path)
    yield shard
    shard.close()


def arrow_type(told: Any) -> Any:
    """Pyarrow's type of this name."""
    return pa.type_for_alias(told) if isinstance(told, str) else pa.decimal128(*told)


def columns_of(words: list[str | None]) -> Columns:
    """A block of two columns, one of which has these words."""
    batch = pa.RecordBatch.from_pydict({"number": list(range(len(words))), "word": words})
    return Columns(("number", "word"), len(words), arrays=batch)


@pytest.mark.parametrize("word", ["a", "", "\x1d", "\x1e", "\x1f", "\x1dN", "ł\n"])
def test_texts_come_row_by_row_whatever_they_have_in_them(word: str) -> None:
    """Also the characters that stand between them otherwise."""
    assert texts_in_rows(columns_of([word, None, "b"])) == ["0", word, "1", None, "2", "b"]


def test_arrays_are_bound_as_sqlalchemy_binds_their_values(shard: Shard) -> None:
    """Every kind of column, its least and its strangest values, and NULL."""
    table = Table("things", MetaData(), *(Column(name, kind[0]) for name, kind in COLUMNS.items()))
    arrays = [pa.array(values, arrow_type(told)) for _, told, values in COLUMNS.values()]
    batch = pa.RecordBatch.from_arrays(arrays, names=list(COLUMNS))
    with shard.connect() as connection, connection.begin():
        table.create(connection)
        loader = open_loader(connection, table, {name: kind[0] for name, kind in COLUMNS.items()})
        assert loader is not None
        assert loader.takes_arrays
        encoded = loader.encode(Columns(tuple(COLUMNS), 3, arrays=batch))
        assert loader.load(connection, encoded, 3)
        connection.execute(insert(table), batch.to_pylist())
        rows = connection.exec_driver_sql("SELECT *, typeof(number), typeof(price) FROM things").all()
        values = connection.execute(select(table)).all()

    assert rows[:3] == rows[3:]
    assert values[:3] == values[3:]


def test_a_table_of_moments_with_zones_takes_no_arrays(shard: Shard) -> None:
    """They know the moment and not its zone, whose clock SQLAlchemy binds."""
    table = Table("moments", MetaData(), Column("at", types.DateTime(timezone=True)))
    with shard.connect() as connection:
        loader = open_loader(connection, table, {"at": table.c.at.type})

    assert loader is not None
    assert not loader.takes_arrays
