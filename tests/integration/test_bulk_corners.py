"""Rare tables and rare lines: whichever way a file goes, the same rows stand there, and the same is told."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from config.settings import InsertHandler
from handlers.registry import insert_spec
from handlers.testing import run_handler
from shards.engines import Shard
from tests.support.bulk_ways import only_way
from tests.support.parts import sqlite_shard

WAYS = pytest.mark.parametrize("way", ["arrays", "texts"])
CSV_WAYS = pytest.mark.parametrize("way", ["arrays", "csv", "texts"])
EVERYWHERE = pytest.mark.parametrize("target", ["sqlite_shard", "shard", "mariadb_shard"], indirect=True)
GAP = b'{"k": 1}\n{"k": 2, "note": "x"}\n'

Outcome = tuple[object, list[str]]
"""What is told, and the rows."""


@dataclass(frozen=True)
class Rows:
    """A customer's file for the table `t`; the handler's configuration says what is in `section`, too."""

    data: bytes
    name: str = "a.jsonl"
    customer_id: str = "c-1"
    section: tuple[tuple[str, str], ...] = ()
    query: str = "SELECT t.* FROM t ORDER BY k"

    def load(self, shard: Shard, way: str) -> Outcome:
        """Load it this way, and take the rows out again."""
        fields = {"type": "t", "table": "t", "source": "attachments", **dict(self.section)}
        spec = insert_spec(InsertHandler.model_validate(fields))
        files = {self.name: self.data}
        with shard.connect() as connection:
            with only_way(way):
                run = run_handler(
                    spec, None, connection, attachments=files, commit=True, customer_id=self.customer_id
                )
            with connection.begin():
                rows = [repr(tuple(row)) for row in connection.execute(text(self.query))]
                connection.execute(text("DELETE FROM t"))
        return run.result if run.error is None else (run.error.code, run.error.details), rows


IGNORE = (("conflict", "ignore"),)


@pytest.fixture(name="sqlite_shard")
def make_sqlite_shard(tmp_path: Path) -> Iterator[Shard]:
    shard = sqlite_shard(tmp_path)
    yield shard
    shard.close()


@pytest.fixture(name="target")
def make_target(request: pytest.FixtureRequest) -> Shard:
    shard: Shard = request.getfixturevalue(request.param)
    return shard


def execute(shard: Shard, *statements: str) -> None:
    for statement in statements:
        with shard.connect() as connection, connection.begin():
            connection.execute(text(statement))


@WAYS
@EVERYWHERE
@pytest.mark.parametrize(
    "twice", [b'"p": "zz", "p": 1', b'"p": "\xff", "p": 1', b'"d": "zz", "d": "2026-01-01"']
)
def test_of_a_name_that_comes_twice_the_last_value_counts(target: Shard, way: str, twice: bytes) -> None:
    """Whatever the first one is."""
    execute(target, "CREATE TABLE t (k INTEGER, p NUMERIC(5, 2), d DATE)")
    rows = Rows(b'{"k": 1, ' + twice + b"}\n")

    slow = rows.load(target, "rows")

    assert slow[0] == {"inserted": 1}
    assert rows.load(target, way) == slow


@WAYS
@pytest.mark.parametrize(("name", "data"), [("a.csv", b"k\n1\n"), ("a.jsonl", b'{"k": 1}\n')])
@pytest.mark.parametrize(
    ("target", "kind", "customer_id"),
    [
        ("sqlite_shard", "NCHAR(5)", "c-1"),
        ("sqlite_shard", "FLOAT", "17"),
        ("shard", "jsonb", "17"),
        ("mariadb_shard", "varbinary(9)", "abcd"),
    ],
    indirect=["target"],
)
def test_a_customer_is_stored_as_a_value_of_its_columns_type(
    target: Shard, way: str, kind: str, customer_id: str, name: str, data: bytes
) -> None:
    """Also of a type whose texts a database may read as something else."""
    execute(target, f"CREATE TABLE t (k INTEGER, owner {kind})")
    rows = Rows(data, name, customer_id, (("customer_column", "owner"),))

    assert rows.load(target, way) == rows.load(target, "rows")


@WAYS
@EVERYWHERE
def test_a_line_without_any_name_is_a_row_of_defaults(target: Shard, way: str) -> None:
    """Which cannot be there already, but as others can."""
    execute(target, "CREATE TABLE t (k INTEGER UNIQUE, v INTEGER DEFAULT 5)")
    rows = Rows(b'{"k": 1, "v": 1}\n{}\n{"k": 1, "v": 2}\n{}\n', section=IGNORE)

    slow = rows.load(target, "rows")

    assert [row for row in slow[1] if row.startswith("(None")] == ["(None, 5)"] * 2
    assert rows.load(target, way) == slow


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("(k INTEGER UNIQUE, rowid TEXT DEFAULT 'x')", "(None, 'x')"),
        ("(k INTEGER DEFAULT 5 PRIMARY KEY, v TEXT) WITHOUT ROWID", "(5, None)"),
    ],
)
@pytest.mark.parametrize("way", ["arrays", "texts", "rows"])
def test_a_row_of_defaults_that_is_there_is_left_out(
    sqlite_shard: Shard, way: str, table: str, row: str
) -> None:
    """SQLite takes no ON CONFLICT with it."""
    execute(sqlite_shard, f"CREATE TABLE t {table}")
    if "UNIQUE" not in table:
        execute(sqlite_shard, "INSERT INTO t DEFAULT VALUES")

    told = {"inserted": 1, "ignored": 0} if "UNIQUE" in table else {"inserted": 0, "ignored": 1}
    assert Rows(b"{}\n", section=IGNORE).load(sqlite_shard, way) == (told, [row])


@CSV_WAYS
@EVERYWHERE
def test_a_byte_order_mark_in_a_value_stays_there(target: Shard, way: str) -> None:
    """Only the file's own is none of it; a reader of a block must not take the block's first for one."""
    execute(target, "CREATE TABLE t (note VARCHAR(9), k INTEGER)")
    rows = Rows(b"\xef\xbb\xbfnote,k\n\xef\xbb\xbfx,1\n", "a.csv")

    assert rows.load(target, way) == ({"inserted": 1}, ["('\\ufeffx', 1)"])


@CSV_WAYS
@EVERYWHERE
@pytest.mark.parametrize("number", ["007", "-00.5", "01e3"])
def test_a_float_with_zeros_in_front_is_refused(target: Shard, way: str, number: str) -> None:
    """As rows are; databases would take it."""
    execute(target, "CREATE TABLE t (k INTEGER, v DOUBLE PRECISION, w VARCHAR(9))")
    rows = Rows(f"k,v,w\n1,{number},x\n".encode(), "a.csv")

    assert rows.load(target, way) == rows.load(target, "rows")


@WAYS
@pytest.mark.parametrize(("name", "data"), [("a.csv", b"k,v\n1,\n"), ("a.jsonl", b'{"k": 1, "v": ""}\n')])
def test_a_type_that_looks_like_text_and_is_none(shard: Shard, way: str, name: str, data: bytes) -> None:
    """PostgreSQL's "char" is one byte: an empty text broke off the loading, as if the shard were away."""
    execute(shard, 'CREATE TABLE t (k INTEGER, v "char" NOT NULL)')

    assert Rows(data, name).load(shard, way) == ({"inserted": 1}, ["(1, '')"])


@WAYS
@pytest.mark.parametrize("section", [(), IGNORE])
@pytest.mark.parametrize(
    "column",
    [
        "VARCHAR(9) DEFAULT concat('n', 'ew')",
        "VARCHAR(9) INVISIBLE DEFAULT 'new'",
        "TEXT COMPRESSED DEFAULT 'new'",
        "VARCHAR(9) NOT NULL DEFAULT concat('n', 'ew')",
    ],
)
def test_mariadb_fills_a_column_whatever_its_default_looks_like(
    mariadb_shard: Shard, way: str, section: tuple[tuple[str, str], ...], column: str
) -> None:
    """A row that leaves it out has it, though others of the file have their own values."""
    execute(mariadb_shard, f"CREATE TABLE t (note {column}, k INTEGER PRIMARY KEY)")
    rows = Rows(GAP, section=section, query="SELECT k, note FROM t ORDER BY k")

    slow = rows.load(mariadb_shard, "rows")

    assert slow[0] == {"inserted": 2}
    assert rows.load(mariadb_shard, way) == slow


@WAYS
def test_a_view_fills_what_a_row_leaves_out(shard: Shard, way: str) -> None:
    """The defaults are those of the table behind it, which the view does not tell."""
    base = "CREATE TABLE base (k INTEGER PRIMARY KEY, note text DEFAULT 'new')"
    execute(shard, base, "CREATE VIEW t AS SELECT * FROM base")
    rows = Rows(GAP, section=IGNORE)

    assert rows.load(shard, way) == ({"inserted": 2, "ignored": 0}, ["(1, 'new')", "(2, 'x')"])


@WAYS
def test_rows_fit_a_table_that_was_changed_since_the_last_file(mariadb_shard: Shard, way: str) -> None:
    """What is kept for a session must not keep a column's old type: it would cut values without a word."""
    execute(mariadb_shard, "CREATE TABLE t (k INTEGER PRIMARY KEY, note CHAR(5), made_at DATETIME)")
    rows = Rows(b'{"k": 1, "note": "a  ", "made_at": "2026-01-01T00:00:00.5"}\n', section=IGNORE)
    rows.load(mariadb_shard, way)
    execute(mariadb_shard, "ALTER TABLE t MODIFY note VARCHAR(5), MODIFY made_at DATETIME(6)")

    _, found = rows.load(mariadb_shard, way)

    assert found == ["(1, 'a  ', datetime.datetime(2026, 1, 1, 0, 0, 0, 500000))"]
