"""Rows that are there already: refused, left out or updated, the same on each database and whichever way."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from config.settings import InsertHandler
from handlers.registry import insert_spec
from handlers.testing import HandlerRun, run_handler
from shards.engines import Shard
from tests.support.bulk_ways import only_way
from tests.support.parts import sqlite_shard

CREATE = (
    "CREATE TABLE prices (owner VARCHAR(5), item INTEGER PRIMARY KEY, price INTEGER,"
    " note VARCHAR(9) DEFAULT 'new')"
)
KEPT = ("c-2", 1000, 1, "old")
"""Another customer's row."""
FILE = (
    "item,price\n" + "".join(f"{item},{item}\n" for item in range(100, 200)) + "7,70\n7,71\n8,80\n100,0\n"
).encode()


@pytest.fixture(name="sqlite_shard")
def make_sqlite_shard(tmp_path: Path) -> Iterator[Shard]:
    shard = sqlite_shard(tmp_path)
    yield shard
    shard.close()


@pytest.fixture(params=["shard", "mariadb_shard", "sqlite_shard"], name="target")
def make_target(request: pytest.FixtureRequest) -> Shard:
    shard: Shard = request.getfixturevalue(request.param)
    with shard.connect() as connection, connection.begin():
        connection.execute(text(CREATE))
        connection.execute(text("INSERT INTO prices VALUES ('c-1', 7, 1, 'old'), ('c-2', 1000, 1, 'old')"))
    return shard


def load(shard: Shard, way: str, data: bytes, name: str = "a.csv", **section: object) -> HandlerRun:
    fields = {"type": "t", "table": "prices", "source": "attachments", "customer_column": "owner", **section}
    spec = insert_spec(InsertHandler.model_validate(fields))
    with shard.connect() as connection, only_way(way):
        return run_handler(spec, None, connection, attachments={name: data}, commit=True)


def prices(shard: Shard) -> dict[int, tuple[object, ...]]:
    with shard.connect() as connection, connection.begin():
        return {row.item: tuple(row) for row in connection.execute(text("SELECT * FROM prices"))}


@pytest.mark.parametrize("way", ["texts", "rows"])
@pytest.mark.parametrize(("conflict", "seventh", "hundredth"), [("ignore", 1, 100), ("update", 71, 0)])
def test_rows_that_are_there_are_left_out_or_updated(
    target: Shard, way: str, conflict: str, seventh: int, hundredth: int
) -> None:
    """Of rows with the same key in one file, the first counts, or the last; columns left out stay."""
    run = load(target, way, FILE, conflict=conflict)

    tells = conflict == "ignore" and target.dialect != "mariadb"
    assert run.result == ({"inserted": 101, "ignored": 3} if tells else {"inserted": 104})
    found = prices(target)
    assert found[7] == ("c-1", 7, seventh, "old")
    assert found[8] == ("c-1", 8, 80, "new")
    assert found[100] == ("c-1", 100, hundredth, "new")
    assert found[1000] == KEPT
    assert len(found) == 103


@pytest.mark.parametrize("way", ["texts", "rows"])
def test_no_row_of_another_customer_is_updated(target: Shard, way: str) -> None:
    """A key is no right: whose row it is decides."""
    run = load(target, way, FILE + b"1000,9\n", conflict="update")

    assert run.error is None
    assert prices(target)[1000] == KEPT


@pytest.mark.parametrize("way", ["arrays", "texts", "rows"])
def test_a_line_that_leaves_out_a_column_leaves_its_value_alone(target: Shard, way: str) -> None:
    """NULL would take the place of what is there, though nobody sent it; other lines of the file have it."""
    lines = b'{"item": 100, "price": 5}\n{"item": 7}\n{"item": 101}\n'

    run = load(target, way, lines, "a.jsonl", conflict="update")

    assert run.result == {"inserted": 3}
    found = prices(target)
    assert found[7] == ("c-1", 7, 1, "old")
    assert found[101] == ("c-1", 101, None, "new")


def test_without_a_choice_they_are_refused(target: Shard) -> None:
    """Nothing is overwritten unasked."""
    run = load(target, "texts", FILE)

    assert run.error is not None
    assert run.error.code == "unique_violation"
    assert [detail.row for detail in run.error.details] == [102]
    assert len(prices(target)) == 2
