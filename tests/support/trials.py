"""Trials on a shard, and everything that stands in its tables."""

import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import MetaData, select

from config.result import Change
from shards.changes import Changes
from shards.directory import Placement, PlacementState
from shards.engines import Shard
from shards.guard import PartConnection
from shards.trial import Trial
from tests.support.parts import PlacedShard

Tables = dict[str, list[tuple[Any, ...]]]


def trial_on(shard: Shard, *, schema: str | None = None, transaction_tries: int = 5) -> Trial:
    """A trial for the customer `c-1`; it checks the placement on a `PlacedShard`."""
    return Trial(
        shard,
        Placement("c-1", shard.name, schema, PlacementState.ACTIVE, 1),
        stop=threading.Event(),
        transaction_tries=transaction_tries,
        check_placement=isinstance(shard, PlacedShard),
    )


def changes_of(shard: Shard, work: Callable[[PartConnection], object]) -> list[Change]:
    """What the work, tried, would have changed."""
    told: list[Change] = []

    def tried(connection: PartConnection, changes: Changes) -> bytes:
        work(connection)
        told.extend(changes.told())
        return b"{}"

    trial_on(shard).run(tried)
    return told


def tables_of(shard: Shard) -> Tables:
    """Every row of every table, the inbox among them, in the order of their texts."""
    with shard.connect(reading=True) as connection:
        metadata = MetaData()
        metadata.reflect(connection)
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
        }
