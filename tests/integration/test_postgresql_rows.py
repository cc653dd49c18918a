"""Rows inserted on a shard in PostgreSQL: many together arrive as they would one by one."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, MetaData, Table, select

from shards.bulk import RowRefused, insert_rows
from shards.engines import Shard
from tests.support.parts import identity, store_on
from tests.support.writes import execute

TABLE = """
CREATE TYPE size AS ENUM ('s', ' VALUES (');
CREATE TABLE odd (
    "no VALUES (1)" integer PRIMARY KEY,
    "a)s %(b)s \\:c" varchar(20),
    "100 %" numeric(8, 2),
    facts jsonb,
    sent_at timestamptz,
    made_on date,
    photo bytea,
    size size,
    tags text[],
    ratio double precision
)
"""


def row(number: int) -> dict[str, Any]:
    """A row of every type, with what a text of SQL could stumble over; each third without its values."""
    if number % 3 == 0:
        return {name: number if name.startswith("no") else None for name in row(1)}
    return {
        "no VALUES (1)": number,
        "a)s %(b)s :c": "'); \\ %s ; $1 é",
        "100 %": Decimal("19.90"),
        "facts": {"a": ["%(x)s", None, "'"]},
        "sent_at": datetime(2026, 11, 22, 10, 30, tzinfo=UTC),
        "made_on": date(2026, 11, 22),
        "photo": bytes(range(256)),
        "size": " VALUES (",
        "tags": ["a", "b,'c"],
        "ratio": 0.1,
    }


def odd_table(shard: Shard) -> Table:
    execute(shard, TABLE)
    with shard.connect() as connection:
        return Table("odd", MetaData(), autoload_with=connection)


def insert(shard: Shard, table: Table, rows: list[dict[str, Any]]) -> None:
    def work(connection: Connection) -> bytes:
        return b"%d" % insert_rows(connection, table, rows)

    store_on(shard).run(identity(), work)


@pytest.mark.parametrize("count", [1, 2, 5, 50, 51, 130])
def test_rows_of_every_type_arrive_as_they_are(shard: Shard, count: int) -> None:
    """Few go as one text, many as values apart: what is stored is the same."""
    table = odd_table(shard)
    rows = [row(number) for number in range(count)]
    insert(shard, table, rows)

    with shard.connect() as connection:
        stored = connection.execute(select(table).order_by(table.c[0])).mappings().all()
    assert [dict(one) for one in stored] == rows


@pytest.mark.parametrize("count", [5, 60])
def test_the_row_that_is_refused_is_told(shard: Shard, count: int) -> None:
    """However the rows travelled; nothing of them stays."""
    table = odd_table(shard)
    rows = [row(number) for number in range(count)]
    rows[3] = {**row(4), "no VALUES (1)": 1}
    with pytest.raises(RowRefused) as refused:
        insert(shard, table, rows)

    assert refused.value.failure.code == "unique_violation"
    assert [detail.row for detail in refused.value.failure.details] == [4]
    with shard.connect() as connection:
        assert connection.execute(select(table)).all() == []
