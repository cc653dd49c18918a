"""The inspection of shards on real servers."""

import time
from collections.abc import Iterator

import pytest

from shards.engines import Shard
from shards.inspection import inspect_place, inspect_session
from tests.support.inspection_protocol import ServerInspectionProtocol, doubts
from tests.support.mariadb import MariaDBServer
from tests.support.parts import shard_at
from tests.support.postgresql import PostgreSQLServer
from tests.support.private_server import PASSWORD
from tests.support.writes import execute

RIGHTS = ("INSERT", "SELECT", "UPDATE", "DELETE")


class TestInspectionOfPostgreSQL(ServerInspectionProtocol):
    """As initdb makes it, in UTC."""

    @pytest.fixture(name="shard")
    def in_utc(self, url: str) -> Iterator[Shard]:
        """The database with the settings that a worker wants."""
        shard = shard_at(url)
        execute(shard, "ALTER DATABASE shard SET timezone = 'UTC'")
        shard.close()
        yield shard
        shard.close()


class TestInspectionOfMariaDB(ServerInspectionProtocol):
    """The worker's sessions are strict and READ COMMITTED, whatever the server's own are."""

    @pytest.fixture(name="shard")
    def in_utc(self, mariadb_shard: Shard, mariadb_server: MariaDBServer) -> Iterator[Shard]:
        """The database with the settings that a worker wants; other tests have the server as it was."""
        mariadb_server.execute("SET GLOBAL time_zone = '+00:00'")
        yield mariadb_shard
        mariadb_server.execute("SET GLOBAL time_zone = 'SYSTEM'")


@pytest.fixture(name="user_url")
def unprivileged_user(server: PostgreSQLServer, shard: Shard) -> Iterator[str]:
    """A user who may read the tables, and nothing else yet."""
    execute(shard, "DROP ROLE IF EXISTS clerk")
    execute(shard, "CREATE ROLE clerk LOGIN PASSWORD 'clerk'")
    execute(shard, "GRANT USAGE ON SCHEMA public TO PUBLIC")
    execute(shard, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO clerk")
    yield server.url("shard").replace(f"postgres:{PASSWORD}@", "clerk:clerk@")
    execute(shard, "DROP OWNED BY clerk")
    execute(shard, "DROP ROLE clerk")


@pytest.mark.parametrize("missing", RIGHTS)
def test_each_right_that_is_missing_is_named(shard: Shard, user_url: str, missing: str) -> None:
    """By what a worker does, in a transaction that leaves nothing."""
    execute(shard, "GRANT INSERT, SELECT, UPDATE, DELETE ON shardworker_inbox TO clerk")
    execute(shard, f"REVOKE {missing} ON shardworker_inbox FROM clerk")
    clerk = shard_at(user_url)
    (remark,) = inspect_place(clerk, None, with_placements=False)
    clerk.close()

    assert remark.is_wrong
    assert remark.text.startswith(f"It refuses {missing} on shardworker_inbox: ")


def test_a_server_that_only_reads_is_found_out(shard: Shard) -> None:
    """All rights are there, and nothing can be written: a standby after a failover, say."""
    execute(shard, "ALTER DATABASE shard SET default_transaction_read_only = on")
    shard.close()
    (remark,) = inspect_place(shard, None, with_placements=False)
    with shard.connect() as connection, connection.begin():
        connection.exec_driver_sql("SET TRANSACTION READ WRITE")
        connection.exec_driver_sql("ALTER DATABASE shard RESET default_transaction_read_only")
    shard.close()

    assert remark.is_wrong
    assert "SQLSTATE 25006" in remark.text


def test_what_a_session_should_not_be_is_told(server: PostgreSQLServer, shard: Shard) -> None:
    """A zone of its own, no time-outs: as behind a pooler that drops a session's options."""
    execute(shard, "ALTER DATABASE shard SET timezone = 'Europe/Berlin'")
    bare = shard_at(f"{server.url('shard')}&options=%20")
    texts = doubts(bare)
    bare.close()
    execute(shard, "ALTER DATABASE shard RESET timezone")

    assert len(texts) == 3
    for told in ("Europe/Berlin", "lock_timeout has no limit", "statement_timeout has no limit"):
        assert any(told in text for text in texts)


def test_another_isolation_is_wrong(mariadb_url: str) -> None:
    """Parts are promised READ COMMITTED, but what the URL says itself wins."""
    shard = shard_at(f"{mariadb_url}&init_command=SET+SESSION+tx_isolation%3D'SERIALIZABLE'")
    texts = [remark.text for remark in inspect_session(shard, time.time, 20) if remark.is_wrong]
    shard.close()

    assert [text for text in texts if text.startswith("Its transactions are SERIALIZABLE")]


def test_tables_that_take_nothing_back_are_wrong_on_mariadb(mariadb_shard: Shard) -> None:
    """By their engine; each with the statement that changes it."""
    execute(mariadb_shard, "CREATE TABLE ledger (id INTEGER) ENGINE=MyISAM")
    execute(mariadb_shard, "CREATE TABLE notes (id INTEGER) ENGINE=Aria")
    remarks = inspect_place(mariadb_shard, None, with_placements=False)

    assert all(remark.is_wrong for remark in remarks)
    assert [remark.text.split()[2] for remark in remarks] == ["ledger", "notes"]
