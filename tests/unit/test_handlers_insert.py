"""The built-in handler on rows of the payload: what is inserted, and how every misfit is told."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from config.result import ErrorDetail
from config.settings import InsertHandler
from handlers.registry import insert_spec
from handlers.testing import run_handler
from tests.support.items import MOMENT, SECRET, error_of, insert, items_engine, stored


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = items_engine(tmp_path)
    yield engine
    engine.dispose()


def test_rows_of_the_payload_are_inserted_and_counted(engine: Engine) -> None:
    """JSON's texts become what their columns hold; columns that a row leaves out get their defaults."""
    run = insert(
        engine,
        [
            {
                "item_no": 1,
                "name": "Chair",
                "price": 19.9,
                "made_at": "2026-11-21T10:00:00",
                "made_on": "2026-11-21",
                "sold": False,
                "facts": {"legs": 4},
                "photo": "YWJj",
            },
            {"item_no": 2, "name": "Table", "facts": None},
        ],
    )

    assert run.error is None
    assert run.result == {"inserted": 2}
    assert stored(engine, "price", "made_at", "made_on", "sold", "facts", "photo", "twice") == [
        (Decimal("19.90"), MOMENT, date(2026, 11, 21), False, {"legs": 4}, b"abc", 2),
        (None, None, None, True, None, None, 4),
    ]


def test_a_null_is_never_jsons_own_null(engine: Engine) -> None:
    """A JSON column without a value is NULL to the database too."""
    insert(engine, [{"item_no": 1, "name": "a", "facts": None}])

    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT facts IS NULL FROM items").scalar() == 1


def test_a_time_with_an_offset_is_stored_in_utc(engine: Engine) -> None:
    """A column that keeps no zone keeps the instant."""
    insert(engine, [{"item_no": 1, "name": "a", "made_at": "2026-11-21T01:00:00+02:00"}])

    assert stored(engine, "made_at") == [(MOMENT - timedelta(hours=11),)]


@pytest.mark.parametrize("rows", [[], None])
def test_no_rows_insert_nothing_and_a_payload_without_rows_is_refused(engine: Engine, rows: Any) -> None:
    """An empty list is a job with nothing to do; no list is a mistake."""
    run = insert(engine, rows)

    if rows is None:
        assert error_of(run, "invalid_payload") == (
            ErrorDetail(column="$.rows", rule="expected a list of objects"),
        )
    else:
        assert run.result == {"inserted": 0}


def test_the_key_of_the_rows_is_configured(engine: Engine) -> None:
    """A partner's payload may call its rows something else."""
    spec = insert_spec(InsertHandler(type="t", table="items", rows_key="items"))

    run = run_handler(spec, {"items": [{"item_no": 1, "name": "a"}]}, engine)

    assert run.result == {"inserted": 1}


def test_every_misfit_is_told_with_row_and_column_and_nothing_is_inserted(engine: Engine) -> None:
    """Unknown columns, missing ones and wrong types come together, never with a value."""
    rows: list[Any] = [
        {"item_no": 1, "name": "a"},
        {"item_no": SECRET, "name": SECRET * 5, "price": 1.555, "colour": SECRET},
        {"name": None, "twice": 3},
        SECRET,
        {"item_no": 2**70, "name": "a", "price": "1e9", "made_on": SECRET, "sold": 1, "photo": "?"},
        {"item_no": 3, "name": "a", "price": "NaN", "made_at": "0001-01-01T00:00:00+02:00"},
    ]

    details = error_of(insert(engine, rows), "invalid_rows")

    assert [(detail.row, detail.column, detail.rule) for detail in details] == [
        (2, "colour", "unknown column"),
        (2, "item_no", "expected int, got str"),
        (2, "name", "expected str of length <= 10"),
        (2, "price", "expected at most 2 digits after the decimal point"),
        (3, "twice", "unknown column"),
        (3, "item_no", "missing required column"),
        (3, "name", "expected str, got null"),
        (4, None, "expected an object"),
        (5, "item_no", "expected int <= 9223372036854775807"),
        (5, "price", "expected at most 6 digits before the decimal point"),
        (5, "made_on", "invalid RFC3339 encoded date"),
        (5, "sold", "expected bool, got int"),
        (5, "photo", "invalid base64 encoded string"),
        (6, "price", "expected a finite decimal"),
        (6, "made_at", "out of range in UTC"),
    ]
    assert stored(engine) == []


def test_misfits_after_many_good_rows_take_back_the_chunks_before(engine: Engine) -> None:
    """Rows go in by chunks, but a part is all or nothing."""
    rows = [{"item_no": number, "name": "a"} for number in range(25)]

    details = error_of(insert(engine, [*rows, {"item_no": "x"}], chunk_rows=10), "invalid_rows")

    assert {detail.row for detail in details} == {26}
    assert stored(engine) == []
    assert insert(engine, rows, chunk_rows=10).result == {"inserted": 25}


def test_no_more_than_a_hundred_misfits_are_told(engine: Engine) -> None:
    """The details fit into a result."""
    assert len(error_of(insert(engine, [{}] * 500), "invalid_rows")) == 100


@pytest.mark.parametrize("chunk_rows", [1, 3, 1000])
def test_a_key_that_exists_already_is_a_unique_violation_with_its_row(
    engine: Engine, chunk_rows: int
) -> None:
    """Whatever the chunks, the row is found; nothing of the part stays."""
    insert(engine, [{"item_no": 7, "name": "a"}])

    rows = [{"item_no": number, "name": SECRET} for number in range(1, 10)]
    details = error_of(insert(engine, rows, chunk_rows=chunk_rows), "unique_violation")

    assert details == (ErrorDetail(row=7, column="item_no", rule="unique"),)
    assert stored(engine) == [(7,)]


def test_a_reference_to_nothing_is_a_foreign_key_violation_with_its_row(engine: Engine) -> None:
    """The database judges what only it knows."""
    rows = [{"item_no": 1, "name": "a"}, {"item_no": 2, "name": "a", "group_no": 5}]

    (detail,) = error_of(insert(engine, rows), "foreign_key_violation")

    assert detail.row == 2


def test_only_the_configured_columns_may_be_given(engine: Engine) -> None:
    """An operator decides what a partner may fill."""
    rows = [{"item_no": 1, "name": "a", "price": 1}]

    run = insert(engine, rows, columns=["item_no", "name"])

    assert error_of(run, "invalid_rows") == (ErrorDetail(row=1, column="price", rule="unknown column"),)


def test_the_customers_column_is_filled(engine: Engine) -> None:
    """A row may name its own customer, or none."""
    rows = [
        {"item_no": 1, "name": "a"},
        {"item_no": 2, "name": "a", "customer_id": "c-1"},
        {"item_no": 3, "name": "a", "customer_id": None},
    ]

    run = insert(engine, rows, columns=["item_no", "name"], customer_column="customer_id")

    assert run.result == {"inserted": 3}
    assert stored(engine, "customer_id") == [("c-1",)] * 3


def test_a_row_of_another_customer_is_refused(engine: Engine) -> None:
    """No partner writes into another customer's rows by naming it."""
    rows = [{"item_no": 1, "name": "a", "customer_id": f"c-{SECRET}"}]

    details = error_of(insert(engine, rows, customer_column="customer_id"), "invalid_rows")

    assert details == (ErrorDetail(row=1, column="customer_id", rule="another customer than the job's"),)


def test_a_customers_column_that_takes_no_customers_id_is_a_defect(engine: Engine) -> None:
    """The configuration is wrong, not the partner's data."""
    assert error_of(insert(engine, [], customer_column="group_no"), "schema_defect") == ()


@pytest.mark.parametrize(
    "section",
    [{"table": "no_such_table"}, {"columns": ["no_such_column"]}, {"customer_column": "No such column"}],
)
def test_a_table_or_column_that_is_not_there_is_a_defect(engine: Engine, section: dict[str, Any]) -> None:
    """The database's own error tells it, so that operators are told and not the partner."""
    assert error_of(insert(engine, [{"item_no": 1, "name": "a"}], **section), "schema_defect") == ()


def test_a_column_that_came_after_the_last_look_costs_no_job(engine: Engine) -> None:
    """Rows are refused only by columns that are still true: else the transaction runs once more."""
    spec = insert_spec(InsertHandler(type="t", table="items"))
    rows = {"rows": [{"item_no": 1, "name": "a"}]}
    run_handler(spec, rows, engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE items ADD COLUMN colour VARCHAR(5)")
    wider = {"rows": [{"item_no": 1, "name": "a", "colour": "red"}]}

    first, second = run_handler(spec, wider, engine), run_handler(spec, wider, engine)

    assert first.error is not None
    assert first.error.code == "transaction_conflict"
    assert first.error.retryable
    assert second.result == {"inserted": 1}


def test_a_column_that_went_after_the_last_look_is_seen_at_the_next_try(engine: Engine) -> None:
    """The database's error makes the handler look again."""
    spec = insert_spec(InsertHandler(type="t", table="items"))
    run_handler(spec, {"rows": []}, engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE items DROP COLUMN price")
    row = {"rows": [{"item_no": 1, "name": "a", "price": 1}]}

    error_of(run_handler(spec, row, engine), "schema_defect")
    details = error_of(run_handler(spec, row, engine), "invalid_rows")

    assert details == (ErrorDetail(row=1, column="price", rule="unknown column"),)
