"""Bulk loading on MariaDB: LOAD DATA forgives much, and nothing of that may be forgiven here."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Boolean, Column, Integer, MetaData, String, Table, event, text

from shards import load_mariadb
from shards.bulk import insert_rows
from shards.column_blocks import Columns
from shards.engines import Shard
from shards.load_mariadb import LoadData, MariaDBLoader
from shards.load_target import Target
from shards.local_rows import PACKET_BYTES, offered
from tests.support.bulk_ways import ARRAY_COLUMNS, HAS_ARROW, create_table, csv_files, json_files, outcome
from tests.support.mariadb import MariaDBServer, mysqlclient_or_skip
from tests.support.parts import shard_at

FILES = st.one_of(
    st.tuples(st.just("a.csv"), csv_files("mariadb")),
    st.tuples(st.just("a.csv"), csv_files("mariadb", only=ARRAY_COLUMNS)),
    st.tuples(st.just("a.jsonl"), json_files("mariadb")),
)
# what stands between values, what tells them apart elsewhere, and the rest of Unicode
# no NUL: a column with one goes the slow way
WORDS = st.lists(
    st.one_of(
        st.none(),
        st.sampled_from(["", "N", "NULL", "\\N", "\x1dN", "\x1e", "\x1f", "\t", "\r\n", '"', "\\", "\\x"]),
        st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    ),
    min_size=1,
)
# a transaction for each example: the server's pace, not the code's
UNHURRIED = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
ROWS = b"number,label\n" + b"".join(b"%d,a\n" % number for number in range(200))
RIGHT_ROW = st.tuples(
    st.sampled_from(["", "a", "NULL", "\x1f", "\\N", '"', "a,b", " "]),
    st.sampled_from(["", "1.50", "-7"]),
    st.sampled_from(["", "2026-11-21T10:00:00", "2026-11-21 10:00:00.5", "2026-11-21T10:00:00Z"]),
    st.sampled_from(["", "1", "0", "-128", "true", "false"]),
    st.sampled_from(["", " ", "x\ny", "x\r\ny", 'say ""', "NULL", "\\", "é"]),
)


@pytest.fixture(scope="module", name="database")
def make_database(mariadb_server: MariaDBServer) -> str:
    mariadb_server.create_database("bulk")
    with (
        closing(shard_at(mariadb_server.url("bulk"))) as shard,
        shard.connect() as connection,
        connection.begin(),
    ):
        create_table(connection)
        connection.execute(text("ALTER TABLE kinds ADD CONSTRAINT positive CHECK (number > 0)"))
        connection.execute(text("ALTER TABLE kinds ADD COLUMN latin varchar(9) CHARACTER SET latin1"))
        connection.execute(text("CREATE TABLE words (number SERIAL, word LONGTEXT)"))
    return "bulk"


@pytest.fixture(scope="module", name="kinds", params=["pymysql", "mysqldb"])
def make_kinds(
    mariadb_server: MariaDBServer, database: str, request: pytest.FixtureRequest
) -> Iterator[Shard]:
    if request.param == "mysqldb":
        mysqlclient_or_skip()
    with closing(shard_at(mariadb_server.url(database, driver=f"mariadb+{request.param}"))) as shard:
        yield shard


@pytest.fixture(name="statements")
def note_statements(kinds: Shard) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement.split(maxsplit=1)[0])

    event.listen(kinds.engine, "before_cursor_execute", note)
    yield statements
    event.remove(kinds.engine, "before_cursor_execute", note)


@UNHURRIED
@given(file=FILES)
def test_every_way_makes_the_same_of_a_file(kinds: Shard, file: tuple[str, bytes]) -> None:
    """LOAD DATA gives the rows and the faults that single rows give: what it warns of is done again."""
    expected = outcome(kinds, "rows", *file)

    assert outcome(kinds, "arrays", *file) == expected
    assert outcome(kinds, "texts", *file) == expected


@UNHURRIED
@given(rows=st.lists(RIGHT_ROW, min_size=1), newline=st.sampled_from(["\n", "\r\n"]))
def test_right_rows_are_loaded_as_they_would_be_inserted(
    kinds: Shard, statements: list[str], rows: list[tuple[str, ...]], newline: str
) -> None:
    """Whatever LOAD DATA would read in its own way goes there in another form, not row by row."""
    told = io.StringIO(newline="")
    writer = csv.writer(told, lineterminator=newline)
    writer.writerow(["number", "label", "price", "made_at", "sold", "note"])
    writer.writerows((str(number), *row) for number, row in enumerate(rows, start=1))
    data = told.getvalue().encode()
    expected = outcome(kinds, "rows", "a.csv", data)
    statements.clear()

    assert outcome(kinds, "texts", "a.csv", data) == expected
    assert outcome(kinds, "arrays", "a.csv", data) == expected
    assert "ROLLBACK" not in statements


@UNHURRIED
@given(solds=st.lists(st.sampled_from([True, False, None, 1, -128]), min_size=1))
@pytest.mark.parametrize("way", ["texts", "arrays"])
def test_truths_in_json_are_loaded_as_numbers(
    kinds: Shard, statements: list[str], way: str, solds: list[bool | int | None]
) -> None:
    """MariaDB's BOOLEAN is a number: lines may have either, and be told apart by the first of them."""
    lines = [{"number": number, "label": "a", "sold": sold} for number, sold in enumerate(solds, start=1)]
    data = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
    expected = outcome(kinds, "rows", "a.jsonl", data)
    statements.clear()

    assert outcome(kinds, way, "a.jsonl", data) == expected
    assert "ROLLBACK" not in statements


def test_a_handlers_truths_are_loaded_as_numbers(kinds: Shard, statements: list[str]) -> None:
    """LOAD DATA knows no `True`."""
    table = Table(
        "kinds", MetaData(), Column("number", Integer), Column("label", String(5)), Column("sold", Boolean)
    )
    rows = [{"number": number, "label": "a", "sold": number % 2 == 1} for number in range(1, 61)]
    with kinds.connect() as connection, connection.begin() as transaction:
        assert insert_rows(connection, table, rows) == 60

        assert connection.execute(text("SELECT SUM(sold) FROM kinds")).scalar() == 30
        transaction.rollback()
    assert statements.count("LOAD") == 1
    assert "INSERT" not in statements


@pytest.mark.parametrize("way", ["texts", "arrays"])
def test_a_text_that_load_data_would_change_is_told(kinds: Shard, statements: list[str], way: str) -> None:
    """A question mark in its place, with a mere warning: the column knows fewer characters than we do."""
    data = "number,label,latin\n1,a,é\n2,b,ł\n".encode()

    told, rows = outcome(kinds, way, "a.csv", data)

    assert "LOAD" in statements
    assert [detail.row for detail in told[2]] == [3]
    assert rows == []


@pytest.mark.parametrize(
    ("bad", "code", "row"),
    [(b"7,twice\n", "unique_violation", 202), (b"-7,a\n", "check_violation", 202)],
)
def test_a_row_that_load_data_would_leave_out_is_told(
    kinds: Shard, statements: list[str], bad: bytes, code: str, row: int
) -> None:
    """A duplicate and a broken rule are mere warnings there: nothing of the file may stay."""
    told, rows = outcome(kinds, "texts", "a.csv", ROWS.replace(b"0,a\n", b"", 1) + bad)

    assert "LOAD" in statements
    assert told[0] == code
    assert [detail.row for detail in told[2]] == [row - 1]
    assert rows == []


def test_where_the_server_forbids_local_files_rows_are_inserted(
    mariadb_server: MariaDBServer, kinds: Shard, statements: list[str]
) -> None:
    """It is asked once; from then on nobody asks."""
    data = ROWS.replace(b"0,a\n", b"", 1)
    mariadb_server.execute("SET GLOBAL local_infile = 0")
    try:
        first, second = (outcome(kinds, "texts", "a.csv", data) for _ in range(2))
    finally:
        mariadb_server.execute("SET GLOBAL local_infile = 1")
        load_mariadb.forget(kinds.engine)

    assert first == second
    assert first.told == {"inserted": 199}
    assert statements.count("LOAD") == 1


@UNHURRIED
@given(words=WORDS)
@pytest.mark.parametrize("way", ["texts", "arrays"])
def test_any_text_comes_back_as_it_was_sent(kinds: Shard, way: str, words: list[str | None]) -> None:
    """NULL, the empty text, and whatever stands between values or would be told by a backslash."""
    with kinds.connect() as connection, connection.begin() as transaction:
        loader = MariaDBLoader(Target("words", connection.dialect.identifier_preparer))
        encoded = loader.encode(_column_of(words, way))
        assert loader.send(connection, encoded) == len(words)

        assert connection.execute(text("SELECT word FROM words ORDER BY number")).scalars().all() == words
        transaction.rollback()


@pytest.mark.parametrize("byte_count", [1, PACKET_BYTES - 1, PACKET_BYTES, 257 * PACKET_BYTES])
def test_rows_arrive_whole_however_many_packets_they_take(kinds: Shard, byte_count: int) -> None:
    """Packets are numbered up to 255, and then from 0."""
    statement = "LOAD DATA LOCAL INFILE '{file}' INTO TABLE words LINES TERMINATED BY ';' (word)"
    with kinds.connect() as connection, connection.begin() as transaction:
        loader = MariaDBLoader(Target("words", None))
        assert loader.send(connection, LoadData(statement, b"x" * (byte_count - 1) + b";")) == 1

        assert connection.execute(text("SELECT LENGTH(word) FROM words")).scalar() == byte_count - 1
        transaction.rollback()


def test_a_server_is_never_given_a_file(mariadb_server: MariaDBServer, database: str, tmp_path: Path) -> None:
    """It may ask for any, whatever the statement named: it gets the rows that are to be loaded."""
    secret = tmp_path / "secret"
    secret.write_text("secret\n", encoding="ascii")
    statement = f"LOAD DATA LOCAL INFILE '{secret}' INTO TABLE words (word)"
    with closing(shard_at(mariadb_server.url(database))) as shard:
        with shard.connect() as connection, connection.begin() as transaction:
            with offered(connection.connection.driver_connection, b"row\n"):
                connection.exec_driver_sql(statement)
            assert connection.execute(text("SELECT word FROM words")).all() == [("row",)]
            transaction.rollback()
        with shard.connect() as connection:
            with pytest.raises(RuntimeError, match="local_infile"):
                connection.exec_driver_sql(statement)
            connection.invalidate()
        with shard.connect() as connection:
            assert connection.execute(text("SELECT word FROM words")).all() == []


def _column_of(words: list[str | None], way: str) -> Columns:
    if way == "texts" or not HAS_ARROW:
        return Columns(("word",), len(words), [words])
    import pyarrow as pa

    batch = pa.RecordBatch.from_arrays([pa.array(words, pa.string())], names=["word"])
    return Columns(("word",), len(words), arrays=batch)
