"""Shards behind pgbouncer in transaction mode: `pooler = true` keeps all promises there."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, text

from config import settings
from shards.engines import Shard
from tests.support.part_protocol import PartProtocol
from tests.support.parts import identity, order_numbers, order_work, store_on
from tests.support.pgbouncer import running_pgbouncer
from tests.support.postgresql import PostgreSQLServer
from tests.support.work_failures import failure_of_work

SERVER_CONNECTIONS = 2
THREADS = 8
PARTS = 400


@pytest.fixture(scope="module", name="port")
def start_pgbouncer(server: PostgreSQLServer) -> Iterator[int]:
    with running_pgbouncer(server, SERVER_CONNECTIONS) as port:
        yield port


@pytest.fixture(name="shard")
def make_shard(server: PostgreSQLServer, port: int, url: str) -> Iterator[Shard]:
    pooled = url.replace(f":{server.port}/", f":{port}/")
    shard = Shard("one", settings.Shard(url=pooled, pooler=True, limit=THREADS))
    yield shard
    shard.close()


class TestParts(PartProtocol):
    """The same suite as for every database."""


def test_many_threads_share_few_server_sessions_without_an_error(shard: Shard) -> None:
    """Each statement many times over, so that a driver that prepares statements would trip over them."""
    store = store_on(shard)

    def run(number: int) -> str:
        return store.run(identity(f"job-{number}"), order_work(number)).state

    with ThreadPoolExecutor(THREADS) as threads:
        states = list(threads.map(run, range(PARTS)))

    assert states == ["succeeded"] * PARTS
    assert order_numbers(shard) == list(range(PARTS))


def test_errors_leave_nothing_in_the_shared_sessions(shard: Shard) -> None:
    """A part that fails between others that succeed harms none of them."""

    def fail(connection: Connection) -> None:
        connection.execute(text("SELECT nothing FROM nowhere"))

    store = store_on(shard)
    for number in range(20):
        assert failure_of_work(shard, fail).code == "schema_defect"
        assert store.run(identity(f"other-{number}"), order_work(number)).state == "succeeded"
