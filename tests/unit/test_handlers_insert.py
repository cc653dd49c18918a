"""The built-in handler and bulk inserts on SQLite: what is inserted, and how every misfit is told."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec
import pytest
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
from sqlalchemy.exc import OperationalError

from config.result import ErrorDetail
from config.settings import InsertHandler
from handlers.registry import insert_spec
from handlers.testing import HandlerRun, run_handler
from shards.bulk import RowRefused, insert_rows
from shards.column_values import column_value

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


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path / 'shard.db'}", hide_parameters=True)
    event.listen(
        engine, "connect", lambda connection, _record: connection.execute("PRAGMA foreign_keys = ON")
    )
    TABLES.create_all(engine)
    yield engine
    engine.dispose()


def insert(engine: Engine, rows: Any, **section: Any) -> HandlerRun:
    """One run of the built-in handler on rows of the payload, kept if it succeeds."""
    spec = insert_spec(InsertHandler(type="t", **{"table": "items", **section}))
    return run_handler(spec, {"rows": rows}, engine, commit=True)


def insert_files(engine: Engine, files: dict[str, bytes], **section: Any) -> HandlerRun:
    spec = insert_spec(InsertHandler(type="t", table="items", source="attachments", **section))
    return run_handler(spec, None, engine, attachments=files, commit=True)


def error_of(run: HandlerRun, code: str) -> tuple[ErrorDetail, ...]:
    assert run.error is not None
    assert run.error.code == code
    assert SECRET not in f"{run.error}"
    return run.error.details


def stored(engine: Engine, *columns: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        chosen = [ITEMS.c[column] for column in columns or ["item_no"]]
        return [tuple(row) for row in connection.execute(select(*chosen).order_by(ITEMS.c.item_no))]


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
    error_of(insert(engine, [], customer_column="group_no"), "schema_defect")


@pytest.mark.parametrize(
    "section",
    [{"table": "no_such_table"}, {"columns": ["no_such_column"]}, {"customer_column": "No such column"}],
)
def test_a_table_or_column_that_is_not_there_is_a_defect(engine: Engine, section: dict[str, Any]) -> None:
    """The database's own error tells it, so that operators are told and not the partner."""
    assert error_of(insert(engine, [{"item_no": 1, "name": "a"}], **section), "schema_defect") == ()


def test_rows_come_from_csv_and_json_lines_attachments(engine: Engine) -> None:
    """Each file is read by its kind; the counts add up."""
    csv_file = (
        b'item_no,name,price,made_at,sold,facts\r\n1,Chair,19.90,2026-11-21T10:00:00,1,"{""legs"":4}"\r\n'
    )
    json_file = b'{"item_no":2,"name":"Table","price":1234.56}\n'

    run = insert_files(engine, {"a.CSV": csv_file, "b.jsonl": json_file, "c.ndjson": b""})

    assert run.result == {"inserted": 2}
    assert stored(engine, "price", "facts") == [(Decimal("19.90"), {"legs": 4}), (Decimal("1234.56"), None)]


def test_misfits_of_an_attachment_are_told_with_its_name(engine: Engine) -> None:
    """Row numbers are each file's own."""
    files = {
        "a.csv": b"item_no,name\n1,a\n",
        "b.csv": f"item_no,name,price,made_at,facts\n2,a,1 000,20261121,{SECRET}\n3\n".encode(),
    }

    run = insert_files(engine, files)

    details = error_of(run, "invalid_rows")
    assert run.error is not None
    assert "'b.csv'" in run.error.message
    assert [(detail.row, detail.column, detail.rule) for detail in details] == [
        (1, "price", "expected decimal"),
        (1, "made_at", "expected datetime"),
        (1, "facts", "expected JSON"),
        (2, None, "expected 5 columns, found 1"),
    ]
    assert stored(engine) == []


def test_a_file_of_neither_kind_is_refused(engine: Engine) -> None:
    """Nothing is guessed from a file's content."""
    assert error_of(insert_files(engine, {"a.xml": b"<a/>"}), "invalid_rows") == ()


def test_a_job_without_attachments_is_refused(engine: Engine) -> None:
    """Where rows are expected in files, no file is a mistake."""
    assert error_of(insert_files(engine, {}), "invalid_payload") == ()


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
    ("limits", "chunks"),
    [({"chunk_rows": 4}, [4, 4, 2]), ({"chunk_bytes": 200}, [2, 2, 2, 2, 2]), ({}, [10])],
)
def test_a_chunk_is_sent_when_its_rows_are_many_or_long(
    engine: Engine, limits: dict[str, int], chunks: list[int]
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
        insert_rows(connection, ITEMS, rows(), **limits)

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
