"""The catalog on SQLite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shards.engines import Shard
from tests.support.catalog_protocol import CatalogProtocol
from tests.support.parts import shard_at


class TestOnSQLite(CatalogProtocol):
    """Every database's promises, kept by SQLite."""

    @pytest.fixture(name="shard")
    def make_shard(self, tmp_path: Path) -> Iterator[Shard]:
        """An empty file."""
        shard = shard_at(f"sqlite:///{tmp_path / 'catalog.db'}")
        shard.create_database()
        yield shard
        shard.close()
