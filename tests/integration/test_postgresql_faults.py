"""PostgreSQL's errors as they come from the server: each is the kind of failure that it amounts to."""

import pytest
from sqlalchemy import Connection, text

from shards.engines import Shard
from shards.failures import Kind
from tests.support.parts import identity, shard_at, store_on
from tests.support.work_failures import failure_of_work, statement
from tests.support.writes import execute

PREPARED_AFTER = 5
"""How often psycopg runs a statement before it has it prepared."""


@pytest.mark.parametrize(
    ("sql", "code", "names"),
    [
        (
            "INSERT INTO orders (order_no) VALUES (7), (7)",
            "unique_violation",
            "column order_no, constraint orders",
        ),
        ("INSERT INTO orders (order_no, name) VALUES (1, NULL)", "not_null_violation", "column name"),
        ("INSERT INTO orders (order_no, name) VALUES (1, 'longer than ten')", "value_too_long", ""),
        ("INSERT INTO orders (order_no, amount) VALUES (1, 0)", "check_violation", "amount_is_positive"),
        ("INSERT INTO orders (order_no) VALUES (99999999999)", "value_out_of_range", ""),
        ("INSERT INTO orders (order_no) VALUES (CAST('7x' AS text)::integer)", "invalid_value", ""),
        ("DO $$ BEGIN RAISE EXCEPTION 'a rule of the 7x customer'; END $$", "integrity_violation", ""),
    ],
)
def test_faults_of_the_data_are_permanent_and_name_no_value(
    shard: Shard, sql: str, code: str, names: str
) -> None:
    """The code tells which; table, column and constraint are named where the server names them."""
    failure = failure_of_work(shard, statement(sql))

    assert (failure.kind, failure.code) == (Kind.PERMANENT, code)
    assert names in failure.message
    assert "7" not in failure.message.replace("value 7", "")


def test_a_foreign_key_and_a_deferred_one_are_the_same_fault(shard: Shard) -> None:
    """A constraint that is checked at COMMIT fails the part as one that is checked at once."""
    for timing in ("NOT DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED"):
        execute(shard, "DROP TABLE IF EXISTS lines")
        execute(shard, f"CREATE TABLE lines (order_no INTEGER REFERENCES orders (order_no) {timing})")
        failure = failure_of_work(shard, statement("INSERT INTO lines VALUES (5)"))

        assert (failure.code, failure.details[0].column) == ("foreign_key_violation", "order_no")


@pytest.mark.parametrize("value", ["nul \x00 inside", "lone \ud800 surrogate"])
def test_text_that_the_driver_refuses_is_a_fault_of_the_data(shard: Shard, value: str) -> None:
    """It never reached the server, so it has no code; trying again cannot help."""

    def work(connection: Connection) -> None:
        connection.execute(text("INSERT INTO orders (order_no, name) VALUES (1, :name)"), {"name": value})

    failure = failure_of_work(shard, work)

    assert (failure.kind, failure.code) == (Kind.PERMANENT, "invalid_value")


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM missing", "SELECT missing FROM orders", "SELEKT 1", "SELECT pg_read_file('/none')"]
)
def test_a_missing_table_or_column_is_a_defect(shard: Shard, sql: str) -> None:
    """Never reported as bad data."""
    if "pg_read_file" in sql:
        sql = "SET LOCAL ROLE pg_monitor; INSERT INTO orders (order_no) VALUES (1)"

    assert failure_of_work(shard, statement(sql)).kind is Kind.DEFECT


def test_a_statement_timeout_is_transient(url: str) -> None:
    """It is counted as an attempt."""
    shard = shard_at(url, statement_timeout=0.05)
    failure = failure_of_work(shard, statement("SELECT pg_sleep(30)"))
    shard.close()

    assert (failure.kind, failure.code) == (Kind.TRANSIENT, "statement_timeout")


def test_a_table_altered_beneath_a_prepared_statement_is_retried(url: str, shard: Shard) -> None:
    """The server refuses the old plan once; the next transaction prepares the statement anew."""
    runs: list[int] = []

    def work(connection: Connection) -> bytes:
        runs.append(1)
        for _ in range(2 * PREPARED_AFTER):
            connection.exec_driver_sql("SELECT * FROM orders").all()
        return b"{}"

    store_on(shard).run(identity("job-1"), work)
    other = shard_at(url)
    execute(other, "ALTER TABLE orders ADD COLUMN more TEXT")
    other.close()
    runs.clear()

    assert store_on(shard).run(identity("job-2"), work).state == "succeeded"
    assert len(runs) == 2
