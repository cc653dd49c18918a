"""A PostgreSQL server for all integration tests, with a database that each test finds empty."""

from collections.abc import Iterator

import pytest

from shards.engines import Shard
from shards.inbox import create_inbox
from tests.support.parts import create_orders, shard_at
from tests.support.postgresql import PostgreSQLServer, running_postgresql
from tests.support.writes import execute

DATABASE = "shard"
EVERYTHING = "DROP SCHEMA IF EXISTS public, tenant_1, tenant_2 CASCADE; CREATE SCHEMA public"


@pytest.fixture(scope="session", name="server")
def start_server() -> Iterator[PostgreSQLServer]:
    with running_postgresql() as server:
        server.create_database(DATABASE)
        yield server


@pytest.fixture(name="url")
def empty_database(server: PostgreSQLServer) -> str:
    shard = shard_at(server.url(DATABASE))
    execute(shard, EVERYTHING)
    create_inbox(shard, None)
    create_orders(shard)
    shard.close()
    return server.url(DATABASE)


@pytest.fixture(name="shard")
def make_shard(url: str) -> Iterator[Shard]:
    shard = shard_at(url)
    yield shard
    shard.close()
