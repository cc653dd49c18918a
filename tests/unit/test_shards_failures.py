"""What an error means: by its code, on each database."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Date, bindparam, exc, text

from config.codes import CODES
from config.result import ErrorDetail
from shards import failure_codes
from shards.engines import Shard
from shards.failures import Failure, Kind, classify, is_from_standby
from shards.inbox import BrokenTransaction
from tests.support.parts import identity, insert_order, sqlite_shard, store_on

SECRET = "a customer's value"


@pytest.fixture(name="shard")
def make_shard(tmp_path: Path) -> Iterator[Shard]:
    shard = sqlite_shard(tmp_path)
    yield shard
    shard.close()


def wrapped(origin: Exception, *, invalidated: bool = False) -> exc.DBAPIError:
    """A driver's error as SQLAlchemy raises it: always of the same class, to show that it does not matter."""
    return exc.OperationalError("SELECT 1", {}, origin, connection_invalidated=invalidated)


def from_mariadb(errno: int, message: str = SECRET) -> exc.DBAPIError:
    return wrapped(pymysql.err.OperationalError(errno, message, sqlstate="HY000"))


def from_postgresql(sqlstate: str) -> exc.DBAPIError:
    error = psycopg.OperationalError(SECRET)
    error.sqlstate = sqlstate
    return wrapped(error)


@pytest.mark.parametrize(
    ("option", "kind"),
    [("--read-only", Kind.AWAY), ("super_read_only", Kind.AWAY), ("--secure-file-priv", Kind.DEFECT)],
)
def test_an_option_that_forbids_a_statement_makes_no_standby(option: str, kind: Kind) -> None:
    """MariaDB has one number for all of them; only the option's name is the same in each language."""
    error = from_mariadb(1290, f"Der Server läuft mit der Option {option}")

    assert classify(error, "mariadb").kind is kind
    assert is_from_standby(error.orig or error) == (kind is Kind.AWAY)


def test_a_table_that_the_handler_itself_reads_is_no_busy_database(shard: Shard) -> None:
    """SQLite calls that locked, too: nobody else holds the lock, and it would be so each time."""

    def work(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE staged (number INTEGER)"))
        connection.execute(text("INSERT INTO staged VALUES (1), (2)"))
        rows = connection.exec_driver_sql("SELECT number FROM staged")
        rows.fetchone()
        connection.execute(text("DROP TABLE staged"))

    assert failure_on_sqlite(shard, work).kind is Kind.TRANSIENT


def failure_on_sqlite(shard: Shard, work: Callable[[Connection], object]) -> Failure:
    """What work on an SQLite shard fails with."""

    def encoded(connection: Connection) -> bytes:
        work(connection)
        return b"{}"

    with pytest.raises(Exception) as error:  # noqa: PT011  which one it is, is what the test asks
        store_on(shard).run(identity(), encoded)
    return classify(error.value, shard.dialect)


@pytest.mark.parametrize(
    ("sqlstate", "kind", "code"),
    [
        ("40001", Kind.RETRY_TRANSACTION, "transaction_conflict"),
        ("40P01", Kind.RETRY_TRANSACTION, "transaction_conflict"),
        ("55P03", Kind.BUSY, "busy"),
        ("57014", Kind.TRANSIENT, "statement_timeout"),
        ("25P03", Kind.TRANSIENT, "statement_timeout"),
        ("57P01", Kind.AWAY, "shard_away"),
        ("53300", Kind.AWAY, "shard_away"),
        ("25006", Kind.AWAY, "shard_away"),
        ("08006", Kind.AWAY, "shard_away"),
        ("53100", Kind.AWAY, "shard_away"),
        ("53400", Kind.TRANSIENT, "handler_error"),
        ("58P01", Kind.TRANSIENT, "handler_error"),
        ("XX000", Kind.TRANSIENT, "handler_error"),
        ("23505", Kind.PERMANENT, "unique_violation"),
        ("23P01", Kind.PERMANENT, "integrity_violation"),
        ("22P02", Kind.PERMANENT, "invalid_value"),
        ("P0001", Kind.PERMANENT, "integrity_violation"),
        ("42P01", Kind.DEFECT, "schema_defect"),
        ("42501", Kind.DEFECT, "schema_defect"),
        ("3F000", Kind.DEFECT, "schema_defect"),
        ("0A000", Kind.TRANSIENT, "handler_error"),
    ],
)
def test_postgresql_is_told_by_its_sqlstate(sqlstate: str, kind: Kind, code: str) -> None:
    """Exact codes first, then classes of codes; what stands in no table is the handler's error."""
    failure = classify(from_postgresql(sqlstate), "postgresql")

    assert (failure.kind, failure.code) == (kind, code)


@pytest.mark.parametrize(
    ("errno", "kind", "code"),
    [
        (1213, Kind.RETRY_TRANSACTION, "transaction_conflict"),
        (1205, Kind.BUSY, "busy"),
        (1969, Kind.TRANSIENT, "statement_timeout"),
        (2013, Kind.AWAY, "shard_away"),
        (1040, Kind.AWAY, "shard_away"),
        (1062, Kind.PERMANENT, "unique_violation"),
        (1048, Kind.PERMANENT, "not_null_violation"),
        (1406, Kind.PERMANENT, "value_too_long"),
        (4025, Kind.PERMANENT, "check_violation"),
        (1366, Kind.PERMANENT, "invalid_value"),
        (1054, Kind.DEFECT, "schema_defect"),
        (1146, Kind.DEFECT, "schema_defect"),
        (9999, Kind.TRANSIENT, "handler_error"),
    ],
)
def test_mariadb_is_told_by_its_number(errno: int, kind: Kind, code: str) -> None:
    """Its SQLSTATE is too coarse, and its classes say nothing."""
    failure = classify(from_mariadb(errno), "mariadb")

    assert (failure.kind, failure.code) == (kind, code)


@pytest.mark.parametrize(
    ("errno", "message", "detail", "named"),
    [
        (
            1062,
            f"Duplicate entry '{SECRET}' for key 'orders.by_number'",
            None,
            "table orders, constraint by_number",
        ),
        (1048, "Column 'name' cannot be null", "name", "name"),
        (1406, "Data too long for column 'name' at row 1", "name", "name"),
        (1366, f"Incorrect integer value: '{SECRET}' for column `d`.`orders`.`n` at row 1", "n", "orders"),
        (1062, f"Duplicate entry 'for key '{SECRET}'' for key 'PRIMARY'", None, "PRIMARY"),
    ],
)
def test_mariadb_names_are_read_and_no_values(
    errno: int, message: str, detail: str | None, named: str
) -> None:
    """Its text is all there is; only the name at its end is read."""
    failure = classify(from_mariadb(errno, message), "mariadb")

    assert failure.details[0].column == detail
    assert named in failure.message
    assert SECRET not in failure.message


@pytest.mark.parametrize(
    ("sql", "code", "details"),
    [
        (
            "INSERT INTO orders (order_no) VALUES (7), (7)",
            "unique_violation",
            (ErrorDetail(column="order_no", rule="unique"),),
        ),
        (
            "INSERT INTO pairs VALUES (1, 'x'), (1, 'x')",
            "unique_violation",
            (ErrorDetail(column="one", rule="unique"), ErrorDetail(column="two", rule="unique")),
        ),
        (
            "INSERT INTO orders (name) VALUES (NULL)",
            "not_null_violation",
            (ErrorDetail(column="name", rule="not_null"),),
        ),
        ("INSERT INTO orders (amount) VALUES (0)", "check_violation", (ErrorDetail(rule="check"),)),
        ("INSERT INTO lines VALUES (5)", "foreign_key_violation", (ErrorDetail(rule="foreign_key"),)),
        ("INSERT INTO strict_pairs VALUES ('x')", "invalid_value", (ErrorDetail(column="one", rule="type"),)),
        ("INSERT INTO orders (order_no) VALUES ('x')", "invalid_value", (ErrorDetail(rule="type"),)),
    ],
)
def test_sqlite_is_told_by_its_extended_code(
    shard: Shard, sql: str, code: str, details: tuple[ErrorDetail, ...]
) -> None:
    """Real errors of the library; the columns come from its text after the code has decided."""
    with shard.connect() as connection, connection.begin():
        connection.execute(text("CREATE TABLE pairs (one INTEGER, two TEXT, UNIQUE (one, two))"))
        connection.execute(text("CREATE TABLE lines (order_no INTEGER REFERENCES orders (order_no))"))
        connection.execute(text("CREATE TABLE strict_pairs (one INTEGER) STRICT"))
    failure = failure_on_sqlite(shard, lambda connection: connection.execute(text(sql)))

    assert (failure.kind, failure.code, failure.details) == (Kind.PERMANENT, code, details)


@pytest.mark.parametrize("sql", ["SELECT * FROM missing", "SELECT missing FROM orders", "SELEKT"])
def test_a_missing_table_or_column_is_a_defect_on_sqlite(shard: Shard, sql: str) -> None:
    """Never reported as bad data."""
    assert failure_on_sqlite(shard, lambda connection: connection.execute(text(sql))).kind is Kind.DEFECT


@pytest.mark.parametrize(
    ("value", "code"), [(2**70, "value_out_of_range"), ("lone \ud800 surrogate", "invalid_value")]
)
def test_a_value_that_the_driver_cannot_send_is_permanent(shard: Shard, value: object, code: str) -> None:
    """It has no code, since the database never saw it."""

    def work(connection: Connection) -> None:
        connection.execute(text("INSERT INTO orders (name) VALUES (:name)"), {"name": value})

    failure = failure_on_sqlite(shard, work)

    assert (failure.kind, failure.code) == (Kind.PERMANENT, code)


def test_a_value_that_sqlalchemy_refuses_is_permanent(shard: Shard) -> None:
    """A text for a date column does not become a date by trying again."""
    statement = text("INSERT INTO orders (name) VALUES (:day)").bindparams(bindparam("day", type_=Date))
    failure = failure_on_sqlite(shard, lambda connection: connection.execute(statement, {"day": SECRET}))

    assert (failure.kind, failure.code) == (Kind.PERMANENT, "invalid_value")


def test_a_parameter_that_is_missing_is_the_handler_s_error(shard: Shard) -> None:
    """That is no value at all."""
    failure = failure_on_sqlite(shard, lambda connection: connection.execute(text("SELECT :missing"), {}))

    assert (failure.kind, failure.code) == (Kind.TRANSIENT, "handler_error")


def test_a_raw_driver_error_is_told_like_a_wrapped_one(shard: Shard) -> None:
    """A handler or a bulk loader that uses the driver's own cursor is no exception."""

    def work(connection: Connection) -> None:
        insert_order(connection, 1)
        driver: Any = connection.connection.driver_connection
        with pytest.raises(sqlite3.IntegrityError) as error:
            driver.execute("INSERT INTO orders (order_no) VALUES (1)")
        raise error.value

    assert failure_on_sqlite(shard, work).code == "unique_violation"


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (exc.TimeoutError("pool"), Kind.AWAY, "shard_away"),
        (wrapped(psycopg.OperationalError("connection refused")), Kind.AWAY, "shard_away"),
        (wrapped(psycopg.InterfaceError("cursor is closed")), Kind.TRANSIENT, "handler_error"),
        (wrapped(psycopg.InterfaceError("closed"), invalidated=True), Kind.AWAY, "shard_away"),
        (wrapped(psycopg.DataError("NUL")), Kind.PERMANENT, "invalid_value"),
        (wrapped(psycopg.ProgrammingError("cannot adapt")), Kind.TRANSIENT, "handler_error"),
        (BrokenTransaction(), Kind.BROKEN, "broken_transaction"),
    ],
)
def test_errors_without_a_code(error: Exception, kind: Kind, code: str) -> None:
    """Connections that were never made, pools that ran dry, values that never left."""
    failure = classify(error, "postgresql")

    assert (failure.kind, failure.code) == (kind, code)


@given(st.text(min_size=1))
def test_of_an_unknown_exception_only_the_type_is_told(secret: str) -> None:
    """Its text may hold anything, and so it is never repeated."""
    error = type("Surprise", (Exception,), {})(secret)

    assert classify(error, "sqlite") == Failure(
        Kind.TRANSIENT, "handler_error", "The handler raised an error that it did not expect (Surprise)."
    )


def test_a_number_in_another_exception_is_no_code() -> None:
    """Only a driver's error has a code: `KeyError(1062)` is not a duplicate."""
    assert classify(KeyError(1062), "mariadb").code == "handler_error"


def test_the_database_s_own_code_is_told_to_who_looks_it_up() -> None:
    """An operator finds it in the message of what is not the data's fault."""
    assert "SQLSTATE 57P01" in classify(from_postgresql("57P01"), "postgresql").message
    assert "error 2013" in classify(from_mariadb(2013), "mariadb").message


def test_every_verdict_has_a_documented_code() -> None:
    """The tables name no code that the list of codes does not explain."""
    tables = (
        failure_codes.SQLSTATES,
        failure_codes.SQLSTATE_CLASSES,
        failure_codes.MARIADB_ERRNOS,
        failure_codes.SQLITE_EXTENDED_CODES,
        failure_codes.SQLITE_PRIMARY_CODES,
    )

    assert {verdict.code for table in tables for verdict in table.values()} <= set(CODES)
