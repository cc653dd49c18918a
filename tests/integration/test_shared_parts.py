"""Parts that share a transaction, on real servers."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from shards.engines import Shard
from shards.guard import PartConnection
from tests.support.parts import PlacedShard, insert_order, placed_shard_at
from tests.support.shared_protocol import (
    PATIENCE_SECONDS,
    SharedPlacementProtocol,
    SharedProtocol,
    member,
    together,
)


class ConcurrentGroups:
    """What a database with more than one writer must keep."""

    def test_groups_of_different_parts_wait_for_none_of_each_other(self, shard: Shard) -> None:
        """Neither in their claims nor in their outcomes, while both transactions are open."""
        both = threading.Barrier(2)

        def meeting(number: int, connection: PartConnection) -> None:
            insert_order(connection, number)
            both.wait(PATIENCE_SECONDS)

        def run(first: int) -> int:
            ends = (first, first + 9)
            numbers = range(first, first + 10)
            meets = {number: partial(meeting, number) for number in ends}
            return len(together(shard, [member(number, meets.get(number)) for number in numbers]))

        with ThreadPoolExecutor(2) as workers:
            assert list(workers.map(run, (101, 201))) == [10, 10]


class TestOnPostgreSQL(ConcurrentGroups, SharedProtocol):
    """Every database's promises, kept by PostgreSQL."""


class TestOnMariaDB(ConcurrentGroups, SharedProtocol):
    """Every database's promises, kept by MariaDB."""

    usual_statements = ("INSERT", "SAVEPOINT", *("INSERT",) * 10, "RELEASE", "UPDATE", "COMMIT")

    @pytest.fixture(name="shard")
    def of_mariadb(self, mariadb_shard: Shard) -> Shard:
        """The shard that the protocol is run on."""
        return mariadb_shard


class TestOnPostgreSQLWithPlacementRows(SharedPlacementProtocol):
    """Where every claim checks the customers' placements."""

    @pytest.fixture(name="shard")
    def make_placed_shard(self, url: str) -> Iterator[PlacedShard]:
        """In place of the module's shard."""
        shard = placed_shard_at(url)
        yield shard
        shard.close()


class TestOnMariaDBWithPlacementRows(SharedPlacementProtocol):
    """The same on MariaDB."""

    @pytest.fixture(name="shard")
    def make_placed_shard(self, mariadb_url: str) -> Iterator[PlacedShard]:
        """In place of the module's shard."""
        shard = placed_shard_at(mariadb_url)
        yield shard
        shard.close()
