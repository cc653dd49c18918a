"""Bulk loading on PostgreSQL: whichever way a file goes, the same rows stand there and the same is told."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Numeric, String, Table, event

from shards.bulk import RowRefused, insert_rows
from shards.engines import Shard
from tests.support.bulk_ways import ARRAY_COLUMNS, WAYS, create_table, csv_files, json_files, outcome
from tests.support.parts import shard_at
from tests.support.postgresql import PostgreSQLServer

CSV = st.one_of(csv_files("postgresql"), csv_files("postgresql", only=ARRAY_COLUMNS))
JSON = st.one_of(json_files("postgresql"), json_files("postgresql", only=ARRAY_COLUMNS))
# a transaction for each example: the server's pace, not the code's
UNHURRIED = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


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
