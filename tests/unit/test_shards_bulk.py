"""Bulk inserts: values as their columns take them, rows in chunks, and a refused row told by its number."""

from collections.abc import Iterator
from datetime import timedelta, timezone
from decimal import Decimal
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Column, DateTime, Engine, Integer, MetaData, Numeric, Table, event, select
from sqlalchemy.exc import OperationalError

from shards.bulk import CHUNK_BYTES, CHUNK_ROWS, RowRefused, insert_rows
from shards.column_values import column_value
from tests.support.items import ITEMS, MOMENT, items_engine, stored


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = items_engine(tmp_path)
    yield engine
    engine.dispose()


@pytest.mark.parametrize(
    ("type_", "fits", "does_not"),
    [
        (
            Numeric(5, 2),
            ["0", "999.99", "-999.99", "1.500", "1E+2", "0E-9"],
            ["1000", "1.234", "1E-9", "Infinity"],
        ),
        (Numeric(4), ["9999"], ["99999", "1.5"]),
        (Numeric(40, 20), ["12345678901234567890.12345678901234567890"], ["1E+20", "1E-21", "1E+999999"]),
        (Numeric(), ["1E+50", "1E-50"], ["NaN"]),
    ],
)
def test_a_decimal_fits_its_columns_digits(type_: Any, fits: list[str], does_not: list[str]) -> None:
    """Nothing is rounded silently, whatever the database would do."""
    finish = column_value(type_, "postgresql").finish
    assert finish is not None

    assert [finish(Decimal(text)) for text in fits] == [Decimal(text) for text in fits]
    for text in does_not:
        with pytest.raises(ValueError, match="expected"):
            finish(Decimal(text))


def test_a_datetime_in_any_zone_is_the_same_instant_in_utc() -> None:
    """The column's zone is the database's matter only where the column has one."""
    value = MOMENT.replace(tzinfo=timezone(timedelta(hours=-2)))
    finish = column_value(DateTime(), "sqlite").finish
    assert finish is not None

    assert finish(value) == MOMENT + timedelta(hours=2)
    assert column_value(DateTime(timezone=True), "postgresql").finish is None


class Item(msgspec.Struct):
    item_no: int
    name: str


def test_a_column_that_only_later_rows_have_is_inserted_too(engine: Engine) -> None:
    """A statement's columns are those of its own rows: none is dropped."""
    rows = [{"item_no": 1, "name": "a"}, {"item_no": 2, "name": "b", "price": Decimal(3)}, Item(3, "c")]

    with engine.begin() as connection:
        connection.exec_driver_sql("BEGIN")
        assert insert_rows(connection, ITEMS, rows) == 3

    assert stored(engine, "name", "price") == [("a", None), ("b", Decimal("3.00")), ("c", None)]


@pytest.mark.parametrize(
    ("chunk_rows", "chunk_bytes", "chunks"),
    [(4, CHUNK_BYTES, [4, 4, 2]), (CHUNK_ROWS, 200, [2, 2, 2, 2, 2]), (CHUNK_ROWS, CHUNK_BYTES, [10])],
)
def test_a_chunk_is_sent_when_its_rows_are_many_or_long(
    engine: Engine, chunk_rows: int, chunk_bytes: int, chunks: list[int]
) -> None:
    """Memory is bounded by both: a generator is read no further than the chunk that is sent."""
    taken: list[int] = []
    sent: list[tuple[int, int]] = []

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(10):
            taken.append(number)
            yield {"item_no": number, "name": "x" * 50, "facts": {"text": ["y" * 50]}}

    def note(_connection: Any, _statement: Any, many: list[Any], *_: Any) -> None:
        if many:
            sent.append((len(many), len(taken)))

    with engine.begin() as connection:
        event.listen(connection, "before_execute", note)
        insert_rows(connection, ITEMS, rows(), chunk_rows=chunk_rows, chunk_bytes=chunk_bytes)

    assert sent == list(zip(chunks, accumulate(chunks), strict=True))


def test_after_a_refused_chunk_the_transaction_can_go_on(engine: Engine) -> None:
    """A handler that knows what it does may catch the refusal: nothing of that chunk stays."""
    with engine.begin() as connection:
        connection.exec_driver_sql("BEGIN")
        insert_rows(connection, ITEMS, [Item(1, "a")])
        with pytest.raises(RowRefused):
            insert_rows(connection, ITEMS, [Item(2, "a"), Item(1, "a")])
        insert_rows(connection, ITEMS, [Item(3, "a")])

    assert stored(engine) == [(1,), (3,)]


def test_an_error_that_is_not_the_rows_fault_comes_as_it_is(engine: Engine) -> None:
    """A missing table, a lock or a lost connection is no row's fault, and no row is looked for."""
    missing = Table("no_such_table", MetaData(), Column("a", Integer))

    with engine.begin() as connection:
        connection.exec_driver_sql("BEGIN")
        with pytest.raises(OperationalError, match="no such table"):
            insert_rows(connection, missing, [{"a": 1}])


@pytest.mark.parametrize("row", [3, "text", Item, object()])
def test_what_is_no_row_is_refused(engine: Engine, row: Any) -> None:
    """The handler author's mistake says what a row may be."""
    with engine.begin() as connection, pytest.raises(TypeError, match="expected a mapping"):
        insert_rows(connection, ITEMS, [row])


def test_rows_go_into_tables_only(engine: Engine) -> None:
    """A query is no target."""
    with engine.begin() as connection, pytest.raises(TypeError, match="only be inserted into a table"):
        insert_rows(connection, select(ITEMS).subquery(), [{}])
