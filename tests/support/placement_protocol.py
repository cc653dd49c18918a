"""The placement check of every claim, as tests that every database must pass.

A subclass gives the fixture `shard`: a `PlacedShard` with an inbox, an empty table of orders and no rows but
the placement of the customer `c-1`, active with epoch 1.
"""

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from shards.engines import Shard
from shards.failures import Kind, classify
from shards.inbox import Outcome, PlacementStale
from shards.parts import find_outcomes
from shards.placement_rows import lock_row
from tests.support.parts import (
    PlacedShard,
    identity,
    insert_order,
    order_numbers,
    order_work,
    shard_at,
    store_on,
)
from tests.support.writes import BODY, Write, every_write, execute, never, the_row


def wait_for_parts(mover: Shard) -> None:
    """What whoever moves the customer does, after it has announced that: wait for the parts under way."""
    with mover.connect() as connection, connection.begin():
        lock_row(connection, "c-1")


every_move = pytest.mark.parametrize(
    "move",
    [
        "UPDATE shardworker_placement SET state = 'moving'",
        "UPDATE shardworker_placement SET state = 'moved'",
        "UPDATE shardworker_placement SET epoch = 2",
        "DELETE FROM shardworker_placement",
    ],
    ids=["moving", "moved", "another epoch", "no row"],
)


class PlacementProtocol:
    """A customer is written only where it lives, however old the directory's answer is."""

    @every_move
    @every_write
    def test_nothing_is_written_where_the_customer_is_not_active(
        self, shard: PlacedShard, write: Write, move: str
    ) -> None:
        """No row for a part that is new; the handler is not called."""
        execute(shard, move)
        with pytest.raises(PlacementStale, match="'c-1' is not active here with epoch 1"):
            write(store_on(shard), identity())

        assert find_outcomes(shard, None, "job-1", ["c-1"]) == {}
        assert order_numbers(shard) == []

    @every_move
    @every_write
    def test_an_outcome_at_the_old_place_is_not_told_any_more(
        self, shard: PlacedShard, write: Write, move: str
    ) -> None:
        """The row went along with the customer and may have changed since: only the new place knows."""
        store = store_on(shard)
        store.run(identity(), order_work(1, BODY))
        before = the_row(shard)
        execute(shard, move)
        with pytest.raises(PlacementStale):
            write(store, identity())
        with pytest.raises(PlacementStale):
            store.fail_broken(identity(run=2), b"broken")

        assert the_row(shard) == before

    def test_a_customer_that_came_back_is_found_as_it_was(self, shard: PlacedShard) -> None:
        """A move that was given up leaves everything as before it."""
        store = store_on(shard)
        store.run(identity(), order_work(1, BODY))
        execute(shard, "UPDATE shardworker_placement SET state = 'moving'")
        execute(shard, "UPDATE shardworker_placement SET state = 'active'")

        assert store.run(identity(), never) == Outcome("succeeded", 1, BODY)

    @pytest.mark.parametrize("opened_before", [False, True])
    def test_a_customer_stays_where_it_is_until_its_parts_have_ended(
        self, shard: PlacedShard, *, opened_before: bool
    ) -> None:
        """Whoever wants to move it waits for the transaction, however its row was claimed."""
        url = shard.engine.url.render_as_string(hide_password=False)
        mover = shard_at(url, lock_timeout=0.05)
        move = "UPDATE shardworker_placement SET state = 'moving'"
        store = store_on(shard)
        if opened_before:
            store.count_attempt(identity(), 5, lambda _: b"")

        def work(connection: Connection) -> bytes:
            insert_order(connection, 1)
            with pytest.raises(SQLAlchemyError) as error:
                wait_for_parts(mover)
            assert classify(error.value, shard.dialect).kind is Kind.BUSY
            return b"{}"

        assert store.run(identity(), work).state == "succeeded"
        execute(mover, move)
        mover.close()
