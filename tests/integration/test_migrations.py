"""Migrations on real servers: the same promises, and what only servers do."""

from collections.abc import Iterator

import pytest

from shards.engines import Shard
from shards.failures import Kind, classify
from shards.inbox import check_inbox
from shards.migration_steps import LATEST_VERSION
from shards.migrations import find_version, migrate, plan, script
from tests.support.mariadb import MariaDBServer
from tests.support.migration_protocol import MigrationProtocol, migrate_elsewhere
from tests.support.parts import shard_at
from tests.support.postgresql import PostgreSQLServer
from tests.support.writes import execute

EMPTY = "DROP SCHEMA IF EXISTS public, tenant_1 CASCADE; CREATE SCHEMA public"


@pytest.fixture(name="empty_postgresql")
def postgresql_without_tables(url: str) -> Iterator[Shard]:
    shard = shard_at(url)
    execute(shard, EMPTY)
    yield shard
    shard.close()


@pytest.fixture(name="empty_mariadb")
def mariadb_without_tables(mariadb_server: MariaDBServer, mariadb_url: str) -> Iterator[Shard]:
    mariadb_server.execute("DROP DATABASE shard", "CREATE DATABASE shard")
    shard = shard_at(mariadb_url)
    yield shard
    shard.close()


class TestMigrationsOnPostgreSQL(MigrationProtocol):
    """One transaction, one advisory lock."""

    @pytest.fixture(name="shard")
    def empty_shard(self, empty_postgresql: Shard) -> Shard:
        """The one without tables."""
        return empty_postgresql


class TestMigrationsOnMariaDB(MigrationProtocol):
    """Each statement commits by itself, under a lock of the session."""

    @pytest.fixture(name="shard")
    def empty_shard(self, empty_mariadb: Shard) -> Shard:
        """The one without tables."""
        return empty_mariadb


def test_each_schema_has_a_version_of_its_own(empty_postgresql: Shard) -> None:
    """A place is a schema: migrating one says nothing of another, whatever its name needs of quotes."""
    shard = empty_postgresql
    execute(shard, 'CREATE SCHEMA IF NOT EXISTS "tenant-1$"')
    migrate(shard, "tenant-1$")

    assert [find_version(shard, schema) for schema in (None, "tenant-1$")] == [0, LATEST_VERSION]
    assert check_inbox(shard, "tenant-1$") == []
    execute(shard, 'DROP SCHEMA "tenant-1$" CASCADE')


def test_one_pool_of_mariadb_migrates_every_database_of_its_server(
    empty_mariadb: Shard, mariadb_server: MariaDBServer
) -> None:
    """A schema is a database there."""
    mariadb_server.create_database("tenant_1")
    migrate(empty_mariadb, "tenant_1")

    assert [find_version(empty_mariadb, schema) for schema in (None, "tenant_1")] == [0, LATEST_VERSION]
    assert check_inbox(empty_mariadb, "tenant_1") == []


def test_a_migration_leaves_nothing_on_mariadb_s_pooled_connections(empty_mariadb: Shard) -> None:
    """Neither its lock nor its time-out is the next part's."""
    migrate(empty_mariadb, None)
    with empty_mariadb.connect() as connection:
        timeout = connection.exec_driver_sql("SELECT @@SESSION.lock_wait_timeout").scalar_one()

    assert timeout == 86400
    assert migrate_elsewhere(empty_mariadb) == (LATEST_VERSION, LATEST_VERSION)


def test_a_refused_migration_of_postgresql_leaves_nothing_behind(
    server: PostgreSQLServer, empty_postgresql: Shard
) -> None:
    """A user who may not create tables is told so; the transaction takes everything back."""
    execute(empty_postgresql, "DROP ROLE IF EXISTS reader")
    execute(empty_postgresql, "CREATE ROLE reader LOGIN PASSWORD 'reader'")
    execute(empty_postgresql, "GRANT USAGE ON SCHEMA public TO PUBLIC")
    url = server.url("shard").replace("postgres:s3cret-of-the-tests@", "reader:reader@")
    shard = shard_at(url)
    with pytest.raises(Exception, match="denied") as error:
        migrate(shard, None)
    shard.close()

    assert classify(error.value, "postgresql").kind is Kind.DEFECT
    assert plan(empty_postgresql, None) == (0, script("postgresql"))


def test_a_table_in_use_is_waited_for_and_no_longer_than_told(
    empty_postgresql: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's transaction is never queued behind a migration that waits for long."""
    monkeypatch.setattr("shards.migrations.LOCK_TIMEOUT_MILLISECONDS", 50)
    monkeypatch.setattr("shards.migrations.TRIES", 2)
    migrate(empty_postgresql, None)
    execute(empty_postgresql, "DROP INDEX shardworker_inbox_created_at")
    with empty_postgresql.connect() as connection, connection.begin():
        connection.exec_driver_sql("LOCK TABLE shardworker_inbox IN ROW EXCLUSIVE MODE")
        with pytest.raises(Exception, match="lock timeout") as error:
            migrate(empty_postgresql, None)

    assert classify(error.value, "postgresql").kind is Kind.BUSY
    assert tuple(migrate(empty_postgresql, None)) == (0, LATEST_VERSION)
