"""MariaDB's errors as they come from the server: each is the kind of failure that it amounts to."""

import pytest
from sqlalchemy import Connection, text

from shards.engines import Shard
from shards.failures import Kind
from tests.support.parts import insert_order, shard_at
from tests.support.work_failures import failure_of_work, statement
from tests.support.writes import execute

TABLES = """
CREATE TABLE parents (a INTEGER, b INTEGER, PRIMARY KEY (a, b));
CREATE TABLE children (
    a INTEGER, b INTEGER, CONSTRAINT of_parent FOREIGN KEY (a, b) REFERENCES parents (a, b)
);
CREATE TABLE items (
    number INTEGER PRIMARY KEY, needed INTEGER NOT NULL, small TINYINT, made_on DATE, made_at DATETIME,
    size ENUM('s', 'm'), facts JSON, price DECIMAL(5, 2), photo VARBINARY(4), id UUID,
    latin VARCHAR(9) CHARACTER SET latin1, twice INTEGER AS (small * 2) STORED
);
CREATE VIEW few AS SELECT number, needed FROM items WHERE number < 100 WITH CHECK OPTION;
CREATE PROCEDURE refuse() SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'a rule of the 7x customer'
"""
ITEM = "INSERT INTO items (number, needed, {}) VALUES (1, 1, {})"


@pytest.mark.parametrize(
    ("sql", "code", "names"),
    [
        ("INSERT INTO orders (order_no) VALUES (7), (7)", "unique_violation", "constraint PRIMARY"),
        ("INSERT INTO orders (order_no, name) VALUES (1, NULL)", "not_null_violation", "column name"),
        ("INSERT INTO items (number) VALUES (7)", "not_null_violation", "column needed"),
        ("INSERT INTO orders (order_no, name) VALUES (1, '7 longer than')", "value_too_long", "column name"),
        (
            "INSERT INTO orders (order_no, amount) VALUES (7, 0)",
            "check_violation",
            "table orders, constraint amount_is_positive",
        ),
        ("INSERT INTO few (number, needed) VALUES (777, 1)", "check_violation", "table few"),
        (
            "INSERT INTO children VALUES (7, 7)",
            "foreign_key_violation",
            "table children, columns a, b, constraint of_parent",
        ),
        (ITEM.format("small", "777"), "value_out_of_range", "column small"),
        (ITEM.format("price", "77777.5"), "value_out_of_range", "column price"),
        (ITEM.format("small", "'7x'"), "invalid_value", "column small"),
        (ITEM.format("small", "'seven 7'"), "invalid_value", "table items, column small"),
        (ITEM.format("made_on", "'2027-02-30'"), "invalid_value", "table items, column made_on"),
        (ITEM.format("made_at", "'at 7'"), "invalid_value", "table items, column made_at"),
        (ITEM.format("size", "'xxl7'"), "invalid_value", "column size"),
        (ITEM.format("facts", "'{7'"), "check_violation", "table items, column facts"),
        (ITEM.format("photo", "'77777'"), "value_too_long", "column photo"),
        (ITEM.format("id", "'7'"), "invalid_value", "table items, column id"),
        (ITEM.format("latin", "'7世'"), "invalid_value", "table items, column latin"),
        (ITEM.format("latin", "_utf8mb4 0x37FF"), "invalid_value", ""),
        (ITEM.format("twice", "7"), "invalid_value", "table items, column twice"),
        (ITEM.format("small", "7 / 0"), "invalid_value", ""),
        ("INSERT INTO items (number, needed) VALUES (9223372036854775807 + 7, 1)", "value_out_of_range", ""),
        ("CALL refuse()", "integrity_violation", ""),
    ],
)
def test_faults_of_the_data_are_permanent_and_name_no_value(
    either_shard: Shard, sql: str, code: str, names: str
) -> None:
    """The code tells which; table, column and constraint are named where the server names them."""
    for table in TABLES.split(";"):
        execute(either_shard, table)
    failure = failure_of_work(either_shard, statement(sql))

    assert (failure.kind, failure.code) == (Kind.PERMANENT, code)
    assert f"({names})" in failure.message if names else "(" not in failure.message
    assert "7" not in failure.message


@pytest.mark.parametrize("surrogate", [0xD800, 0xDC80])
def test_text_that_is_none_is_a_fault_of_the_data(either_shard: Shard, surrogate: int) -> None:
    """The drivers do not send a lone surrogate, or send a byte that the server refuses."""
    value = {"name": chr(surrogate)}

    def work(connection: Connection) -> None:
        connection.execute(text("INSERT INTO orders (order_no, name) VALUES (1, :name)"), value)

    failure = failure_of_work(either_shard, work)

    assert (failure.kind, failure.code) == (Kind.PERMANENT, "invalid_value")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM missing",
        "SELECT * FROM nowhere.missing",
        "USE nowhere",
        "SELECT missing FROM orders",
        "SELECT missing(1)",
        "CALL missing()",
        "SELEKT 1",
        "INSERT INTO orders VALUES (1)",
    ],
)
def test_a_missing_table_or_column_is_a_defect(either_shard: Shard, sql: str) -> None:
    """Never reported as bad data, and the shard does not look away."""
    assert failure_of_work(either_shard, statement(sql)).kind is Kind.DEFECT


def test_a_permission_that_is_missing_is_a_defect(either_shard: Shard, mariadb_url: str) -> None:
    """The database can be asked; only the handler's statement is refused."""
    execute(either_shard, "CREATE OR REPLACE USER 'modest'@'%' IDENTIFIED BY 'pw'")
    for table in ("shardworker_inbox", "shardworker_version"):
        execute(either_shard, f"GRANT ALL ON shard.{table} TO 'modest'@'%'")
    driver, _, place = mariadb_url.partition("://")
    shard = shard_at(f"{driver}://modest:pw@{place.partition('@')[2]}")
    failure = failure_of_work(shard, lambda connection: insert_order(connection, 1))
    other_database = failure_of_work(shard, statement("SELECT * FROM mysql.proc"))
    shard.close()

    assert [failure.kind, other_database.kind] == [Kind.DEFECT] * 2


def test_a_value_that_no_packet_can_hold_is_a_fault_of_the_data(either_shard: Shard) -> None:
    """The server would cut the connection, and the shard would look away for as long as the job comes."""

    def work(connection: Connection) -> None:
        too_much = connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one()
        connection.execute(text("SELECT :text"), {"text": "x" * too_much})

    failure = failure_of_work(either_shard, work)

    assert (failure.kind, failure.code) == (Kind.PERMANENT, "value_too_long")
    assert "max_allowed_packet" in failure.message


def test_a_statement_timeout_is_transient(mariadb_url: str) -> None:
    """It is counted as an attempt."""
    shard = shard_at(mariadb_url, statement_timeout=0.05)
    failure = failure_of_work(shard, statement("SELECT SLEEP(30) FROM orders RIGHT JOIN (SELECT 1) one ON 1"))
    shard.close()

    assert (failure.kind, failure.code) == (Kind.TRANSIENT, "statement_timeout")
