"""The catalog on real servers."""

from collections.abc import Iterator

import pytest

from shards.engines import Shard
from tests.support.catalog_protocol import CatalogProtocol
from tests.support.mariadb import MariaDBServer
from tests.support.parts import shard_at
from tests.support.postgresql import PostgreSQLServer
from tests.support.writes import execute

DATABASE = "catalog"


@pytest.fixture(scope="module")
def postgresql_url(server: PostgreSQLServer) -> str:
    server.create_database(DATABASE)
    return server.url(DATABASE)


class TestOnPostgreSQL(CatalogProtocol):
    """Every database's promises, kept by PostgreSQL."""

    @pytest.fixture(name="shard")
    def on_postgresql(self, postgresql_url: str) -> Iterator[Shard]:
        """An empty database."""
        shard = shard_at(postgresql_url)
        execute(shard, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        yield shard
        shard.close()


class TestOnMariaDB(CatalogProtocol):
    """Every database's promises, kept by MariaDB."""

    @pytest.fixture(name="shard")
    def on_mariadb(self, mariadb_server: MariaDBServer) -> Iterator[Shard]:
        """An empty database."""
        mariadb_server.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
        mariadb_server.create_database(DATABASE)
        shard = shard_at(mariadb_server.url(DATABASE))
        yield shard
        shard.close()
