"""A sick shard is alone: its parts wait without an attempt being counted, and the others go on."""

import sqlite3
from contextlib import closing

from shards.engines import Shards
from shards.inbox import create_inbox
from tests.support.world import CUSTOMERS, World, job, wait_until

SICK = "s0"


def sicken(world: World) -> None:
    """Take the shard's database file away."""
    (world.directory / f"{SICK}.db").rename(world.directory / f"{SICK}.away")


def heal(world: World) -> None:
    """Put the shard's database file back."""
    (world.directory / f"{SICK}.away").rename(world.directory / f"{SICK}.db")


def test_parts_for_a_shard_that_is_away_wait_and_are_done_when_it_is_back(world: World) -> None:
    """60 jobs, a third for the sick shard: the others are done at once, its own later, no attempt counted."""
    jobs = [
        job(f"job-{number}", [CUSTOMERS[number % 12]], rows=[{"order_no": number}]) for number in range(60)
    ]
    wide = [{"customer_id": one, "payload": {"rows": [{"order_no": 100}]}} for one in CUSTOMERS[:3]]
    sicken(world)
    world.send(*jobs, job("wide", wide))
    worker = world.start_worker()
    wait_until(lambda: len(world.rows_on("s1")) + len(world.rows_on("s2")) == 42, "the healthy shards' rows")
    assert worker.wait_for_event("shard.away")["shard"] == SICK
    heal(world)
    world.wait_until_settled()
    assert worker.stop() == 0

    assert len(world.rows_on(SICK)) == 21
    results = world.results()
    assert {result["status"] for result in results} == {"succeeded"}
    assert {result["job_id"] for result in results} == {"wide", *(one["job_id"] for one in jobs)}
    assert world.dead_letters() == []
    assert {row["attempt"] for one in jobs for row in world.inbox(one["job_id"])} == {0}
    assert worker.events("shard.back")
    assert {line["error_code"] for line in worker.events("shard.unanswered")} == {"shard_away"}


def test_a_broken_inbox_table_counts_as_away_with_an_alarm(world: World) -> None:
    """Without its table nothing is tried in vain: the parts wait until `setup` has repaired it."""
    with closing(sqlite3.connect(world.directory / f"{SICK}.db")) as connection:
        connection.execute("DROP TABLE shardworker_inbox")
    world.send(job("one", ["c-0"], rows=[{"order_no": 1}]))
    worker = world.start_worker()
    worker.wait_for_event("inbox.fault")
    create_inbox(Shards(world.settings.shards).get(SICK), None)
    world.wait_until_settled()
    assert worker.stop() == 0

    assert world.rows() == [(1, "c-0")]
    assert [row["attempt"] for row in world.inbox("one")] == [0]
    assert world.dead_letters() == []
