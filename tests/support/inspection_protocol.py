"""What the inspection finds of every server, as tests; a subclass gives the fixture `shard`, set up."""

import time

from shards.engines import Shard
from shards.inspection import inspect_place, inspect_session, measure_latency
from shards.migrations import migrate
from tests.support.writes import execute

HOUR = 3600.0


def doubts(shard: Shard, *, ahead_seconds: float = 0.0, budget: int = 20) -> list[str]:
    """What is said of the server by a machine whose clock is ahead; none of it is plainly wrong."""
    remarks = inspect_session(shard, lambda: time.time() + ahead_seconds, budget)
    assert not any(remark.is_wrong for remark in remarks)
    return [remark.text for remark in remarks]


class InspectionProtocol:
    """What is right is told right; each thing that is not is told with what to do."""

    def test_a_shard_that_is_set_up_is_right_and_nothing_is_left_in_it(self, shard: Shard) -> None:
        """The row that was written to see that it can be is rolled back."""
        assert inspect_place(shard, None, with_placements=True) == []
        with shard.connect(reading=True) as connection:
            count = connection.exec_driver_sql("SELECT COUNT(*) FROM shardworker_inbox").scalar_one()
        assert count == 0

    def test_an_inbox_that_is_behind_is_wrong(self, shard: Shard) -> None:
        """With the command that brings it forward."""
        execute(shard, "DROP TABLE shardworker_placement")
        (remark,) = inspect_place(shard, None, with_placements=False)

        assert remark.is_wrong
        assert "shardworker shards migrate" in remark.text
        migrate(shard, None)
        assert inspect_place(shard, None, with_placements=True) == []

    def test_the_latency_is_that_of_a_query_alone(self, shard: Shard) -> None:
        """Two readings of the clock: before and after it, the connection being open."""
        readings = iter([10.0, 10.25])

        assert measure_latency(shard, lambda: next(readings)) == 0.25


class ServerInspectionProtocol(InspectionProtocol):
    """What only a server has: clocks, limits, settings."""

    def test_a_server_as_it_should_be_gives_no_doubt(self, shard: Shard) -> None:
        """Time zone, encoding, isolation, time-outs, clock, connections."""
        assert doubts(shard) == []

    def test_clocks_that_differ_are_doubtful(self, shard: Shard) -> None:
        """By some seconds, in either direction."""
        assert doubts(shard, ahead_seconds=2.0) == []
        for difference in (HOUR, -HOUR):
            (text,) = doubts(shard, ahead_seconds=difference)
            assert "differ by 3600 s" in text

    def test_a_budget_beyond_the_server_s_limit_is_doubtful(self, shard: Shard) -> None:
        """With the setting to change."""
        (text,) = doubts(shard, budget=10_000)

        assert f'[servers."{shard.server}"] connections' in text
