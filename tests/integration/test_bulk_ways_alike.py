"""What a database does beside storing rows: the fast ways do it too, or leave the rows to the slow one."""

from contextlib import closing

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, text

from shards.bulk import insert_rows
from shards.conflicts import Conflict
from shards.engines import Shard
from tests.integration.test_bulk_conflicts import load
from tests.support.parts import shard_at

FORTUNES = Table("fortunes", MetaData(), Column("number", Integer), Column("word", String(9)))
RULE = "CREATE RULE copied AS ON INSERT TO prices DO {} INSERT INTO copies VALUES (NEW.item)"


@pytest.mark.parametrize("way", ["arrays", "csv", "texts", "rows"])
@pytest.mark.parametrize(("also", "kept"), [("ALSO", 2), ("INSTEAD", 0)])
def test_rules_of_a_table_hold_whichever_way_rows_go(shard: Shard, way: str, also: str, kept: int) -> None:
    """COPY passes them over: the rows would stand where they do not belong, and nobody would be told."""
    with shard.connect() as connection, connection.begin():
        connection.execute(text("CREATE TABLE prices (owner text, item int)"))
        connection.execute(text("CREATE TABLE copies (item int)"))
        connection.execute(text(RULE.format(also)))

    assert load(shard, way, b"item\n1\n2\n").result == {"inserted": 2}

    with shard.connect() as connection, connection.begin():
        counts = text("SELECT (SELECT count(*) FROM prices), (SELECT count(*) FROM copies)")
        assert tuple(connection.execute(counts).one()) == (kept, 2)


@pytest.mark.parametrize("way", ["arrays", "csv", "texts", "rows"])
def test_a_row_that_a_later_one_replaces_is_judged_too(shard: Shard, way: str) -> None:
    """Of two with the same key the last one stays, but a bad row is a bad row."""
    with shard.connect() as connection, connection.begin():
        connection.execute(
            text("CREATE TABLE prices (owner text, item int PRIMARY KEY, price int CHECK (price > 0))")
        )

    run = load(shard, way, b"item,price\n1,-5\n1,5\n", conflict="update")

    assert run.error is not None
    assert (run.error.code, [detail.row for detail in run.error.details]) == ("check_violation", [2])


@pytest.mark.parametrize("way", ["arrays", "texts", "rows"])
def test_a_key_whose_nulls_are_the_same_is_updated(shard: Shard, way: str) -> None:
    """Two such rows of one file are one row of the table; the last one stays."""
    with shard.connect() as connection, connection.begin():
        connection.execute(
            text("CREATE TABLE prices (owner text, item int UNIQUE NULLS NOT DISTINCT, price int)")
        )

    run = load(shard, way, b"item,price\n,5\n,6\n", conflict="update", conflict_columns=["item"])

    assert run.result == {"inserted": 2}
    with shard.connect() as connection, connection.begin():
        assert connection.execute(text("SELECT price FROM prices")).scalars().all() == [6]


def test_rows_that_were_refused_do_not_come_with_later_ones(mariadb_shard: Shard) -> None:
    """LOAD DATA made question marks of characters in a temporary table that a rollback did not empty."""
    rows = [{"number": number, "word": "ł" if number == 7 else "a"} for number in range(120)]
    refused: list[int] = []
    with mariadb_shard.connect() as connection, connection.begin() as transaction:
        connection.execute(
            text("CREATE TABLE fortunes (number int PRIMARY KEY, word varchar(9) CHARACTER SET latin1)")
        )
        connection.execute(text("SET SESSION default_tmp_storage_engine = 'Aria'"))
        insert_rows(
            connection,
            FORTUNES,
            rows,
            chunk_rows=60,
            conflict=Conflict("ignore"),
            note_refused=lambda number, _: refused.append(number),
        )
        found = connection.execute(text("SELECT number, word FROM fortunes WHERE word <> 'a'")).all()
        count = connection.execute(text("SELECT count(*) FROM fortunes")).scalar()
        transaction.rollback()

    assert (refused, found, count) == ([8], [], 119)


@pytest.mark.parametrize("way", ["arrays", "texts", "rows"])
def test_a_zero_is_a_key_where_the_server_counts_from_other_values_only(
    mariadb_shard: Shard, way: str
) -> None:
    """LOAD DATA forgets that the file has a value there as soon as it has to set another column."""
    url = mariadb_shard.engine.url.update_query_dict({"sql_mode": "NO_AUTO_VALUE_ON_ZERO"})
    with closing(shard_at(url.render_as_string(hide_password=False))) as shard:
        with shard.connect() as connection, connection.begin():
            connection.execute(text("CREATE TABLE prices (item int AUTO_INCREMENT PRIMARY KEY, note text)"))

        assert load(shard, way, b"item,note\n0,a\n7,\n", customer_column=None).result == {"inserted": 2}

        with shard.connect() as connection, connection.begin():
            found = connection.execute(text("SELECT item, note FROM prices ORDER BY item")).all()
    assert [tuple(row) for row in found] == [(0, "a"), (7, None)]
