"""Interruptions on real servers: PostgreSQL, and MariaDB through either driver."""

import pytest

from shards.engines import Shard
from tests.support.interruption_protocol import InterruptionProtocol


class TestOnPostgreSQL(InterruptionProtocol):
    sleeping = "SELECT pg_sleep(60)"


class TestOnMariaDB(InterruptionProtocol):
    sleeping = "SELECT count(*) FROM seq_1_to_1000000 AS a, seq_1_to_1000000 AS b WHERE a.seq < b.seq"

    @pytest.fixture(name="shard")
    def take_shard(self, either_shard: Shard) -> Shard:
        """Through either driver."""
        return either_shard
