"""The purge of old inbox rows on real servers."""

import threading

import pytest
from sqlalchemy import Connection

from shards.engines import Shard
from shards.purge import count_old, purge
from tests.support.parts import NOW, identity, insert_order, store_on
from tests.support.purge_protocol import DAY, PurgeProtocol, fill


class TestPurgeOnPostgreSQL(PurgeProtocol):
    """Found by the index, deleted by the index."""


class TestPurgeOnMariaDB(PurgeProtocol):
    """READ COMMITTED: only the rows that go are locked."""

    @pytest.fixture(name="shard")
    def on_mariadb(self, mariadb_shard: Shard) -> Shard:
        """The one on MariaDB."""
        return mariadb_shard


@pytest.mark.parametrize("name", ["shard", "mariadb_shard"])
def test_a_part_under_way_and_a_purge_do_not_wait_for_each_other(
    name: str, request: pytest.FixtureRequest
) -> None:
    """The part's own row is younger, and so are most: a day's rows go, a month's stay."""
    shard: Shard = request.getfixturevalue(name)
    fill(shard, [NOW - DAY - number for number in range(100)] + [NOW] * 3000)

    def work(connection: Connection) -> bytes:
        insert_order(connection, 1)
        assert purge(shard, None, NOW - DAY / 2, threading.Event(), lambda _: None) == 100
        return b"{}"

    assert store_on(shard).run(identity("under-way"), work).state == "succeeded"
    assert count_old(shard, None, NOW + DAY) == 3001
