"""Parts that share a transaction, on real servers."""

from collections.abc import Iterator

import pytest

from shards.engines import Shard
from tests.support.parts import PlacedShard, placed_shard_at
from tests.support.shared_protocol import SharedPlacementProtocol, SharedProtocol


class TestOnPostgreSQL(SharedProtocol):
    """Every database's promises, kept by PostgreSQL."""


class TestOnMariaDB(SharedProtocol):
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
