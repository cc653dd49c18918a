"""The built-in handler on PostgreSQL: its own types, its schemas and its errors."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from config.result import ErrorDetail
from config.settings import InsertHandler
from handlers.registry import insert_spec
from handlers.testing import HandlerRun, run_handler
from tests.support.postgresql import PostgreSQLServer, running_postgresql

SCHEMA = "tenant_1"
TABLE = f"""
CREATE SCHEMA {SCHEMA};
CREATE TYPE {SCHEMA}.size AS ENUM ('s', 'm');
CREATE TABLE {SCHEMA}."Items" (
    item_id serial PRIMARY KEY,
    other_id integer GENERATED ALWAYS AS IDENTITY,
    "Item no" smallint NOT NULL UNIQUE,
    name varchar(5) NOT NULL,
    big bigint,
    price numeric(8, 2),
    ratio double precision,
    sold boolean NOT NULL DEFAULT true,
    made_at timestamp,
    sent_at timestamptz,
    made_on date,
    opens time,
    facts jsonb,
    id uuid,
    photo bytea,
    size {SCHEMA}.size,
    tags text[],
    lasts interval,
    twice integer GENERATED ALWAYS AS ("Item no" * 2) STORED
)
"""
ROW: dict[str, Any] = {
    "Item no": 1,
    "name": "Chair",
    "big": 2**60,
    "price": "19.90",
    "ratio": 0.5,
    "made_at": "2026-11-21T10:00:00+02:00",
    "sent_at": "2026-11-21T10:00:00+02:00",
    "made_on": "2026-11-21",
    "opens": "08:30:00",
    "facts": {"legs": [4]},
    "id": "12345678-1234-5678-1234-567812345678",
    "photo": "YWJj",
    "size": "m",
    "tags": ["a", "b"],
    "lasts": "1 day",
}
STORED = {
    "Item no": 1,
    "big": 2**60,
    "price": Decimal("19.90"),
    "ratio": 0.5,
    "sold": True,
    "made_at": datetime(2026, 11, 21, 8, tzinfo=UTC).replace(tzinfo=None),
    "sent_at": datetime(2026, 11, 21, 8, tzinfo=UTC),
    "made_on": date(2026, 11, 21),
    "opens": time(8, 30),
    "facts": {"legs": [4]},
    "id": UUID("12345678-1234-5678-1234-567812345678"),
    "photo": b"abc",
    "size": "m",
    "tags": ["a", "b"],
    "twice": 2,
}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQLServer]:
    with running_postgresql() as server:
        yield server


@pytest.fixture(scope="module")
def engine(server: PostgreSQLServer) -> Iterator[Engine]:
    engine = create_engine(server.url("postgres"), hide_parameters=True)
    with engine.begin() as connection:
        connection.exec_driver_sql(TABLE)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A connection whose transaction is taken back after the test."""
    with engine.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


def insert(connection: Connection, *rows: Any, **section: Any) -> HandlerRun:
    spec = insert_spec(InsertHandler(type="t", **{"table": "Items", **section}))
    return run_handler(spec, {"rows": rows}, connection, schema=SCHEMA, commit=True)


def stored(connection: Connection) -> list[dict[str, Any]]:
    found = connection.execute(text('SELECT * FROM tenant_1."Items" ORDER BY item_id'))
    return [dict(row) for row in found.mappings()]


def details_of(run: HandlerRun, code: str) -> list[tuple[int | None, str | None, str | None]]:
    assert run.error is not None
    assert run.error.code == code
    return [(detail.row, detail.column, detail.rule) for detail in run.error.details]


def test_every_type_of_postgresql_is_filled_from_json(connection: Connection) -> None:
    """Names of any form and the database's own types; generated columns are the database's."""
    run = insert(connection, ROW)

    assert run.error is None
    (row,) = stored(connection)
    assert {name: row[name] for name in STORED} == STORED


def test_every_type_of_postgresql_is_filled_from_csv(connection: Connection) -> None:
    """A CSV field is read as its column asks."""
    header = "Item no,name,price,sold,made_at,sent_at,opens,facts,id,size,photo,ratio"
    line = (
        "1,Chair,19.90,1,2026-11-21T08:00:00,2026-11-21T08:00:00Z,08:30:00,"
        '"{""legs"":[4]}",12345678-1234-5678-1234-567812345678,m,YWJj,0.5'
    )
    spec = insert_spec(InsertHandler(type="t", table="Items", source="attachments"))
    files = {"items.csv": f"{header}\r\n{line}\r\n".encode()}

    run = run_handler(spec, None, connection, attachments=files, schema=SCHEMA, commit=True)

    assert run.error is None
    (row,) = stored(connection)
    given = {
        "Item no",
        "price",
        "sold",
        "made_at",
        "sent_at",
        "opens",
        "facts",
        "id",
        "size",
        "photo",
        "ratio",
    }
    assert {name: row[name] for name in given} == {name: STORED[name] for name in given}


def test_every_type_of_postgresql_has_its_rule(connection: Connection) -> None:
    """What the column would refuse, or silently change, is told before it is sent."""
    wrong = {
        "Item no": 2**15,
        "name": "Wardrobe",
        "price": 1.555,
        "sent_at": "2026-11-21T10:00:00",
        "id": "x",
        "size": "xl",
        "tags": "a",
        "item_id": "x",
        "other_id": 1,
        "twice": 1,
    }

    assert details_of(insert(connection, wrong), "invalid_rows") == [
        (1, "other_id", "unknown column"),
        (1, "twice", "unknown column"),
        (1, "item_id", "expected int, got str"),
        (1, "Item no", "expected int <= 32767"),
        (1, "name", "expected str of length <= 5"),
        (1, "price", "expected at most 2 digits after the decimal point"),
        (1, "sent_at", "expected datetime with a timezone component"),
        (1, "id", "invalid UUID"),
        (1, "size", "not one of the allowed values"),
        (1, "tags", "expected array | null, got str"),
    ]


@pytest.mark.parametrize(
    ("change", "code", "detail"),
    [
        ({}, "unique_violation", (2, "Item no", "unique")),
        ({"Item no": 2, "name": "a\0b"}, "invalid_value", (2, None, "type")),
        ({"Item no": 2, "lasts": "s3cret"}, "invalid_value", (2, None, "type")),
        ({"Item no": 2, "facts": {"a": "\0"}}, "invalid_value", (2, None, "type")),
    ],
)
def test_what_only_the_database_can_refuse_is_told_with_its_row(
    connection: Connection, change: dict[str, Any], code: str, detail: Any
) -> None:
    """The row is found although PostgreSQL ends a transaction at its first error; no value is told."""
    run = insert(connection, ROW, {**ROW, **change}, {**ROW, "Item no": 3})

    assert details_of(run, code) == [detail]
    assert "s3cret" not in str(run.error)
    assert stored(connection) == []


def test_a_table_that_is_not_there_is_a_defect(connection: Connection) -> None:
    """The operators are told, not the partner."""
    run = insert(connection, ROW, table="no_such_table")

    assert details_of(run, "schema_defect") == []


def test_a_customers_column_may_be_a_number(connection: Connection) -> None:
    """A customer's id is written as its column asks; one that is no number is a defect."""
    spec = insert_spec(InsertHandler(type="t", table="Items", customer_column="big"))
    payload = {"rows": [{"Item no": 1, "name": "a"}]}

    run_handler(spec, payload, connection, customer_id="77", schema=SCHEMA, commit=True)
    run = run_handler(spec, payload, connection, customer_id="c-1", schema=SCHEMA)

    assert [row["big"] for row in stored(connection)] == [77]
    assert details_of(run, "schema_defect") == []


def test_a_missing_name_is_told_before_the_database_sees_the_row(connection: Connection) -> None:
    """A required column is one that the database would not fill."""
    run = insert(connection, {"Item no": 1})

    assert run.error is not None
    assert run.error.details == (ErrorDetail(row=1, column="name", rule="missing required column"),)
