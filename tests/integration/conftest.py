"""A server of each kind for all integration tests, with a database that each test finds empty."""

from collections.abc import Iterator

import pytest

from shards.engines import Shard
from shards.inbox import create_inbox
from tests.support.mariadb import MariaDBServer, mysqlclient_or_skip, running_mariadb
from tests.support.parts import create_orders, shard_at
from tests.support.postgresql import PostgreSQLServer, running_postgresql
from tests.support.writes import execute

DATABASE = "shard"
EVERYTHING = "DROP SCHEMA IF EXISTS public, tenant_1, tenant_2 CASCADE; CREATE SCHEMA public"
MARIADB_DATABASES = (DATABASE, "tenant_1", "tenant_2")


@pytest.fixture(scope="session", name="server")
def start_server() -> Iterator[PostgreSQLServer]:
    with running_postgresql() as server:
        server.create_database(DATABASE)
        yield server


@pytest.fixture(name="url")
def empty_database(server: PostgreSQLServer) -> str:
    shard = shard_at(server.url(DATABASE))
    execute(shard, EVERYTHING)
    make_tables(shard)
    return server.url(DATABASE)


@pytest.fixture(name="shard")
def make_shard(url: str) -> Iterator[Shard]:
    shard = shard_at(url)
    yield shard
    shard.close()


@pytest.fixture(scope="session", name="mariadb_server")
def start_mariadb() -> Iterator[MariaDBServer]:
    with running_mariadb() as server:
        yield server


@pytest.fixture(name="mariadb_url")
def empty_mariadb(mariadb_server: MariaDBServer) -> str:
    mariadb_server.execute(*(f"DROP DATABASE IF EXISTS {name}" for name in MARIADB_DATABASES))
    mariadb_server.create_database(DATABASE)
    make_tables(shard_at(mariadb_server.url(DATABASE)))
    return mariadb_server.url(DATABASE)


@pytest.fixture(name="mariadb_shard")
def make_mariadb_shard(mariadb_url: str) -> Iterator[Shard]:
    shard = shard_at(mariadb_url)
    yield shard
    shard.close()


@pytest.fixture(name="mysqlclient_shard")
def make_mysqlclient_shard(mariadb_server: MariaDBServer, mariadb_url: str) -> Iterator[Shard]:
    del mariadb_url  # it makes the tables
    mysqlclient_or_skip()
    shard = shard_at(mariadb_server.url(DATABASE, driver="mariadb+mysqldb"))
    yield shard
    shard.close()


@pytest.fixture(params=["mariadb_shard", "mysqlclient_shard"], name="either_shard")
def by_either_driver(request: pytest.FixtureRequest) -> Shard:
    shard: Shard = request.getfixturevalue(request.param)
    return shard


def make_tables(shard: Shard) -> None:
    create_inbox(shard, None)
    create_orders(shard)
    shard.close()
