"""Placing: the first placement rows of customers that already live in a place."""

from collections.abc import Sequence
from typing import NamedTuple

from shards.directory import PlacementState
from shards.engines import Shard
from shards.placement_rows import PlacementRow, insert_rows, read_rows


class Refusal(NamedTuple):
    """A customer that was not placed, and why."""

    customer_id: str
    reason: str


class Placed(NamedTuple):
    """How many rows were written, how many were there as wanted, and which customers were refused."""

    written: int
    present: int
    refused: list[Refusal]


def rows_at(shard: Shard, schema: str | None) -> dict[str, PlacementRow]:
    """Every placement row of a place by customer; raises what `classify` reads."""
    with shard.connect(schema, reading=True) as connection:
        return {row.customer_id: row for row in read_rows(connection)}


def place_rows(shard: Shard, schema: str | None, wanted: Sequence[PlacementRow]) -> Placed:
    """Write the rows that are missing, in one transaction; a row that says something else is left alone.

    Raises what `classify` reads.
    """
    with shard.connect(schema) as connection, connection.begin():
        found = {row.customer_id: row for row in read_rows(connection)}
        missing = [row for row in wanted if row.customer_id not in found]
        insert_rows(connection, missing)
    there = [(found[row.customer_id], row) for row in wanted if row.customer_id in found]
    refused = [Refusal(row.customer_id, _reason(row, asked)) for row, asked in there if row != asked]
    return Placed(len(missing), len(there) - len(refused), refused)


def _reason(found: PlacementRow, wanted: PlacementRow) -> str:
    if found.state is PlacementState.ACTIVE:
        return (
            f"Its placement row there has epoch {found.epoch}, the directory {wanted.epoch}: its parts are "
            "refused until both are the same. Correct the directory."
        )
    if found.state is PlacementState.MOVING:
        return "It is being moved. Finish or abort that first."
    return (
        f"Its placement row there says gone: it was moved away with number {found.epoch}. Correct the "
        "directory, or, if it was moved back by hand, remove that row."
    )
