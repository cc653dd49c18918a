"""What statements change: read from their text, counted on a connection while it is watched."""

import pytest

from shards.changes import place_of

TOLD = [
    ("INSERT INTO orders (order_no) VALUES (1)", ("orders", "inserted")),
    ("-- one\n/* of\nmany */ insert\n into orders VALUES (1)", ("orders", "inserted")),
    ("INSERT IGNORE INTO orders VALUES (1)", ("orders", "inserted")),
    ('INSERT INTO tenant_1."Order ""lines""" VALUES (1)', ('Order "lines"', "inserted")),
    ("INSERT INTO `tenant 1`.`order``s` VALUES (1)", ("order`s", "inserted")),
    ("INSERT INTO orders VALUES (1) ON CONFLICT DO NOTHING", ("orders", "inserted")),
    (
        "INSERT INTO orders VALUES (1) ON CONFLICT (order_no) DO UPDATE SET note = excluded.note",
        ("orders", "upserted"),
    ),
    ("INSERT INTO orders VALUES (1) ON DUPLICATE KEY UPDATE note = 1", ("orders", "upserted")),
    ("REPLACE INTO orders VALUES (1)", ("orders", "upserted")),
    ("INSERT OR REPLACE INTO orders VALUES (1)", ("orders", "upserted")),
    ("COPY orders (order_no, note) FROM STDIN (FORMAT binary)", ("orders", "inserted")),
    ("LOAD DATA LOCAL INFILE 'rows' INTO TABLE orders CHARACTER SET utf8mb4", ("orders", "inserted")),
    ("UPDATE ONLY orders SET note = 1", ("orders", "updated")),
    ("UPDATE orders AS one SET note = 1", ("orders", "updated")),
    ("DELETE FROM tenant_1.orders", ("orders", "deleted")),
    ("DELETE one FROM orders AS one", (None, "deleted")),
    ("WITH old AS (SELECT 1) DELETE FROM orders", (None, "deleted")),
    ("WITH old AS (SELECT 1)\nINSERT INTO orders SELECT * FROM old", (None, "inserted")),
    ("WITH old AS (SELECT 1) UPDATE orders SET note = 1", (None, "updated")),
]
SILENT = [
    "SELECT 'INSERT INTO orders VALUES (1)'",
    "SELECT * FROM orders FOR UPDATE",
    "WITH old AS (SELECT 1) SELECT * FROM old",
    "COPY orders TO STDOUT",
    "COPY (SELECT * FROM orders) TO STDOUT",
    "CREATE TABLE updates (number integer)",
    "COPY shardworker_rows_1 (order_no) FROM STDIN",
    "DELETE FROM `shardworker_rows_1`",
    "",
]


@pytest.mark.parametrize(("statement", "place"), TOLD)
def test_a_statement_tells_its_table_and_what_it_does(statement: str, place: tuple[str | None, str]) -> None:
    """Whoever wrote it, whatever stands before it; where several tables may be meant, none is told."""
    assert place_of(statement) == place


@pytest.mark.parametrize("statement", SILENT)
def test_what_changes_no_rows_is_not_told(statement: str) -> None:
    """Nor what is done to tables in which the worker keeps rows on their way."""
    assert place_of(statement) is None
