"""Rows that a database refuses left out of many: which ones, in which order, and at what cost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table, event
from sqlalchemy.exc import OperationalError

from shards.bulk import NumberedRows, insert_rows
from shards.failures import Failure
from tests.support.items import ITEMS, items_engine, stored

ROW_COUNT = 1000


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = items_engine(tmp_path)
    yield engine
    engine.dispose()


def insert(engine: Engine, rows: list[dict[str, Any]]) -> tuple[int, dict[int, str]]:
    """How many rows are inserted, and the others' codes by their numbers, in the order they came in."""
    refused: dict[int, str] = {}

    def note(number: int, failure: Failure) -> None:
        refused[number] = failure.code

    with engine.begin() as connection:
        connection.exec_driver_sql("BEGIN")
        numbered = NumberedRows(enumerate(rows, start=10))
        return insert_rows(connection, ITEMS, numbered, note_refused=note), refused


def test_few_bad_rows_among_many_cost_few_statements(engine: Engine) -> None:
    """A refused chunk is halved: no row but the bad ones is sent alone."""
    sent: list[int] = []

    def note(_connection: Any, _cursor: Any, _statement: str, rows: Any, _context: Any, many: bool) -> None:  # noqa: FBT001 - SQLAlchemy's own form
        if many or rows:
            sent.append(len(rows) if many else 1)

    event.listen(engine, "before_cursor_execute", note)
    bad = {3, 500, 999}
    # foreign keys are kept, and no such group is there
    rows = [{"item_no": n, "name": "a", "group_no": 7 if n in bad else None} for n in range(ROW_COUNT)]

    count, refused = insert(engine, rows)

    assert (count, list(refused)) == (ROW_COUNT - 3, [13, 510, 1009])
    assert set(refused.values()) == {"foreign_key_violation"}
    assert len(sent) < 70
    assert {number for (number,) in stored(engine)} == set(range(ROW_COUNT)) - bad


def test_rows_are_judged_one_after_the_other(engine: Engine) -> None:
    """Of two with one key the second is bad, wherever the halves are cut."""
    rows = [{"item_no": n // 2, "name": str(n)} for n in range(40)]

    count, refused = insert(engine, rows)

    assert (count, list(refused)) == (20, [10 + n for n in range(1, 40, 2)])
    assert stored(engine, "name") == [(str(n),) for n in range(0, 40, 2)]


def test_what_is_no_row_s_fault_comes_as_it_is(engine: Engine) -> None:
    """A missing table, a deadlock or a lost connection leaves out nothing."""
    missing = Table("no_such_table", MetaData(), Column("a", Integer))

    def never(_number: int, _failure: Failure) -> None:
        raise AssertionError

    with engine.begin() as connection:
        connection.exec_driver_sql("BEGIN")
        with pytest.raises(OperationalError, match="no such table"):
            insert_rows(connection, missing, [{"a": 1}], note_refused=never)
