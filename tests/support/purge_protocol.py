"""The promises of the purge, as tests that every database must pass.

A subclass gives the fixture `shard`: with an inbox without rows and a table of orders.
"""

import threading

import pytest
from sqlalchemy import insert

from shards.engines import Shard
from shards.inbox import InboxFault, InboxState, inbox, to_microseconds
from shards.purge import BATCH_ROWS, count_old, purge
from tests.support.parts import NOW
from tests.support.writes import execute

DAY = 86400.0


def fill(shard: Shard, times: list[float], finished: float | None = None) -> None:
    """A succeeded part for each time, or all succeeded later."""
    row = {
        "customer_id": "c-1",
        "run": 1,
        "state": InboxState.SUCCEEDED.value,
        "attempt": 0,
        "starts": 0,
        "digest": "d" * 64,
        "part_no": 0,
        "part_count": 1,
        "job_type": "orders.insert",
        "partner_id": "acme",
        "correlation_id": None,
        "outcome": b"{}",
        "dead_letter": False,
    }
    rows = [
        {
            **row,
            "job_id": f"job-{number}",
            "created_at": to_microseconds(at),
            "finished_at": to_microseconds(finished or at),
        }
        for number, at in enumerate(times)
    ]
    with shard.connect() as connection, connection.begin():
        connection.execute(insert(inbox), rows)


class PurgeProtocol:
    """Old rows go, younger ones stay, workers go on."""

    def test_rows_before_the_moment_go_and_those_from_it_on_stay(self, shard: Shard) -> None:
        """To the microsecond; what is told in batches is what is told at the end."""
        fill(shard, [NOW - 2 * DAY, NOW - DAY, NOW, NOW + 0.000001])
        batches: list[int] = []

        assert count_old(shard, None, NOW) == 2
        assert purge(shard, None, NOW, threading.Event(), batches.append) == 2
        assert batches == [2]
        assert [count_old(shard, None, at) for at in (NOW, NOW + DAY)] == [0, 2]

    def test_a_part_that_was_retried_after_a_long_time_stays(self, shard: Shard) -> None:
        """Copies of that message may still come: they would run it again."""
        fill(shard, [NOW - 2 * DAY], finished=NOW)

        assert count_old(shard, None, NOW) == 0
        assert purge(shard, None, NOW, threading.Event(), lambda _: None) == 0
        assert purge(shard, None, NOW + 1, threading.Event(), lambda _: None) == 1

    def test_many_rows_go_in_batches(self, shard: Shard) -> None:
        """Each is a transaction of its own."""
        fill(shard, [NOW - DAY + number for number in range(2 * BATCH_ROWS + 10)])
        batches: list[int] = []
        deleted = purge(shard, None, NOW, threading.Event(), batches.append)

        assert deleted == sum(batches) == 2 * BATCH_ROWS + 10
        assert batches == [BATCH_ROWS, BATCH_ROWS, 10]

    def test_a_stop_between_two_batches_leaves_the_rest_for_the_next_run(self, shard: Shard) -> None:
        """What was deleted is deleted, what is left is whole."""
        fill(shard, [NOW - DAY + number for number in range(BATCH_ROWS + 10)])
        stop = threading.Event()

        assert purge(shard, None, NOW, stop, lambda _: stop.set()) == BATCH_ROWS
        assert count_old(shard, None, NOW) == 10
        assert purge(shard, None, NOW, threading.Event(), lambda _: None) == 10

    def test_a_missing_inbox_is_told(self, shard: Shard) -> None:
        """With what to do about it."""
        execute(shard, "DROP TABLE shardworker_inbox")
        with pytest.raises(InboxFault, match="shardworker shards migrate"):
            purge(shard, None, NOW, threading.Event(), lambda _: None)
        with pytest.raises(InboxFault):
            count_old(shard, None, NOW)
