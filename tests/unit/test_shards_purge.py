"""The purge of old inbox rows on SQLite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shards.engines import Shard
from tests.support.parts import sqlite_shard
from tests.support.purge_protocol import PurgeProtocol


@pytest.fixture(name="shard")
def shard_with_inbox(tmp_path: Path) -> Iterator[Shard]:
    shard = sqlite_shard(tmp_path)
    yield shard
    shard.close()


class TestPurgeOnSQLite(PurgeProtocol):
    """One writer at a time: a batch is short."""
