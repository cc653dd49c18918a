"""Parts that share a transaction, on SQLite; and which statements may be shared."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from shards.engines import Shard
from shards.lending import REMEMBERED_CHARACTERS_MAXIMUM, outlives_a_turn
from tests.support.parts import PlacedShard, order_numbers, placed_shard_at, sqlite_shard
from tests.support.shared_protocol import SharedPlacementProtocol, SharedProtocol, culprit_of, member
from tests.support.writes import execute


class TestOnSQLite(SharedProtocol):
    """Every database's promises, kept by SQLite."""

    @pytest.fixture(name="shard")
    def make_shard(self, tmp_path: Path) -> Iterator[Shard]:
        """A shard of its own."""
        shard = sqlite_shard(tmp_path)
        yield shard
        shard.close()


class TestOnSQLiteWithPlacementRows(SharedPlacementProtocol):
    """Where every claim checks the customers' placements."""

    @pytest.fixture(name="shard")
    def make_placed_shard(self, tmp_path: Path) -> Iterator[PlacedShard]:
        """A shard of its own."""
        sqlite_shard(tmp_path).close()
        shard = placed_shard_at(f"sqlite:///{tmp_path / 'shard.db'}")
        yield shard
        shard.close()


def test_nobody_is_to_blame_for_what_the_commit_brings(tmp_path: Path) -> None:
    """Whose row it was is found out by running each part alone."""
    shard = sqlite_shard(tmp_path)
    execute(shard, "CREATE TABLE children (no INTEGER REFERENCES orders DEFERRABLE INITIALLY DEFERRED)")
    orphan = member(2, lambda connection: connection.execute(text("INSERT INTO children VALUES (99)")))

    assert culprit_of(shard, [member(1), orphan, member(3)]) is None
    assert order_numbers(shard) == []
    shard.close()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO a VALUES (1)",
        "\n  select * from a for update;",
        "WITH b AS (SELECT 1) UPDATE a SET c = 1",
        "DELETE FROM a WHERE tags @> %(tags)s",
        "SAVEPOINT sa_savepoint_1",
        "ROLLBACK TO SAVEPOINT sa_savepoint_2",
        "RELEASE SAVEPOINT sa_savepoint_10",
        "SELECT pg_advisory_xact_lock(1)",
        'PRAGMA main.table_xinfo("a")',
        "INSERT INTO table_reservations VALUES (1)",
        "INSERT INTO templates VALUES (1)",
    ],
)
def test_what_changes_rows_alone_may_be_shared(statement: str) -> None:
    """However it is written."""
    assert not outlives_a_turn(statement, "postgresql")


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE tenant_1",
        "set local search_path = b",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "ROLLBACK AND CHAIN",
        "END",
        "TRUNCATE a",
        "CREATE TEMPORARY TABLE b (c INTEGER)",
        "SELECT * INTO TEMP b FROM a",
        "SELECT * INTO TEMPORARY TABLE b FROM a",
        "SELECT * INTO LOCAL TEMP b FROM a",
        "SELECT * INTO pg_temp.b FROM a",
        "UPDATE pg_settings SET setting = 'UTC' WHERE name = 'TimeZone'",
        "SELECT lastval()",
        "INSERT INTO a VALUES (currval('b'))",
        "INSERT INTO a VALUES (LAST_INSERT_ID())",
        "SELECT last_insert_rowid()",
        "SAVEPOINT before_rows",
        "ROLLBACK TO before_rows",
        "RELEASE before_rows",
        "COPY a FROM STDIN",
        "DO $$ BEGIN PERFORM 1; END $$",
        "CALL b()",
        "USE b",
        "PREPARE TRANSACTION 'b'",
        "SELECT set_config('role', 'tenant_1', false)",
        "SELECT pg_catalog.pg_advisory_lock(1)",
        "SELECT GET_LOCK('b', 1)",
        "SELECT 1; COMMIT",
        "PRAGMA foreign_keys = OFF",
        "ATTACH DATABASE 'b' AS b",
        "/* b */ COMMIT",
        "",
    ],
)
@pytest.mark.parametrize("length", [0, REMEMBERED_CHARACTERS_MAXIMUM])
def test_what_may_outlive_a_turn_is_not_shared(statement: str, length: int) -> None:
    """Settings, roles, locks, temporary tables, other transactions; however long it is."""
    assert outlives_a_turn(statement + " " * length, "postgresql")


def test_variables_of_the_session_are_not_shared() -> None:
    """On MariaDB and MySQL the next handler would find them."""
    assert outlives_a_turn("SELECT @total := sum(a) FROM b", "mariadb")
