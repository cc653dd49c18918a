"""Bulk loading on PostgreSQL: whichever way a file goes, the same rows stand there and the same is told."""

import csv
import io
import json
from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Numeric, String, Table, event

from shards.bulk import RowRefused, insert_rows
from shards.engines import Shard
from tests.support.bulk_ways import ARRAY_COLUMNS, WAYS, create_table, csv_files, json_files, outcome
from tests.support.parts import shard_at
from tests.support.postgresql import PostgreSQLServer
from tests.support.writes import statements_of

CSV = st.one_of(csv_files("postgresql"), csv_files("postgresql", only=ARRAY_COLUMNS))
JSON = st.one_of(json_files("postgresql"), json_files("postgresql", only=ARRAY_COLUMNS))
# a transaction for each example: the server's pace, not the code's
UNHURRIED = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


RIGHT_ROW = st.tuples(
    st.sampled_from(["", "a", "NULL", "\\.", "\\N", '"', "a,b", " ", "𝄞"]),
    st.sampled_from(["", "1.50", "-7"]),
    st.sampled_from(["", "2026-11-21T10:00:00", "2026-11-21 10:00:00.5", "2024-02-29T10:00:00Z"]),
    st.sampled_from(["", " ", "x\ny", "x\r\n\\.\r\ny", 'say ""', "x\n\\.\ny", "\\", "é\t"]),
)
NAMES = ("number", "label", "price", "made_at", "note")


@pytest.fixture(scope="module", name="kinds")
def make_kinds(server: PostgreSQLServer) -> Iterator[Shard]:
    server.create_database("bulk")
    shard = shard_at(server.url("bulk"))
    with shard.connect() as connection, connection.begin():
        create_table(connection)
    yield shard
    shard.close()


@UNHURRIED
@given(data=CSV)
def test_every_way_makes_the_same_of_a_csv_file(kinds: Shard, data: bytes) -> None:
    """Arrays of pyarrow's, CSV as it is and columns of texts give what single rows give: rows and faults."""
    arrays, as_it_is, texts, rows = (outcome(kinds, way, "a.csv", data) for way in WAYS)

    assert arrays == as_it_is == texts == rows


@UNHURRIED
@given(data=JSON)
def test_every_way_makes_the_same_of_a_json_lines_file(kinds: Shard, data: bytes) -> None:
    """Arrays of pyarrow's and columns of texts give the rows and the faults that single rows give."""
    arrays, texts, rows = (outcome(kinds, way, "a.jsonl", data) for way in WAYS if way != "csv")

    assert arrays == texts == rows


@UNHURRIED
@given(
    rows=st.lists(RIGHT_ROW, min_size=1),
    newline=st.sampled_from(["\n", "\r\n"]),
    quoted=st.booleans(),
)
@example(rows=[("", "", "", "")], newline="\n", quoted=True)
@example(rows=[("", "", "", "")], newline="\r\n", quoted=False)
def test_right_rows_are_copied_as_they_would_be_inserted(
    kinds: Shard, rows: list[tuple[str, ...]], newline: str, *, quoted: bool
) -> None:
    """Whatever COPY would read in its own way goes there in another form, not row by row."""
    table = [(number, *row) for number, row in enumerate(rows, start=1)]
    told = io.StringIO(newline="")
    writer = csv.writer(told, lineterminator=newline, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    writer.writerows([NAMES, *table])
    lines = (
        dict(zip(NAMES, (number, label, *(cell or None for cell in rest)), strict=True))
        for number, label, *rest in table
    )
    files = {"a.csv": told.getvalue(), "a.jsonl": "".join(f"{json.dumps(line)}{newline}" for line in lines)}
    for name, content in files.items():
        expected = outcome(kinds, "rows", name, content.encode())
        with statements_of(kinds) as statements:
            assert [outcome(kinds, way, name, content.encode()) for way in WAYS[:-1]] == [expected] * 3
        assert statements.count("COPY") == 3


LINES = Table(
    "own_lines",
    MetaData(),
    Column("line_no", Integer, primary_key=True, autoincrement=False),
    Column("name", String(9)),
    Column("price", Numeric(8, 2)),
)


def test_a_handlers_own_rows_are_copied_too(shard: Shard) -> None:
    """Many rows cost no INSERT each; a row that is refused is found all the same, by its number."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement.split(maxsplit=1)[0])

    rows = [{"line_no": number, "name": f"n\t{number}", "price": Decimal(number)} for number in range(2500)]
    with shard.connect() as connection, connection.begin():
        LINES.create(connection)
        event.listen(shard.engine, "before_cursor_execute", note)
        assert insert_rows(connection, LINES, iter(rows)) == 2500
        with pytest.raises(RowRefused) as caught:
            insert_rows(
                connection, LINES, [rows[0] | {"line_no": -number} for number in range(1, 80)] + rows[7:9]
            )
        found = connection.execute(LINES.select().order_by("line_no")).all()

    assert statements.count("COPY") == 4
    assert [detail.row for detail in caught.value.failure.details] == [80]
    assert found == [tuple(row.values()) for row in rows]
