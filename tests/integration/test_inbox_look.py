"""What a job that comes again costs on a real PostgreSQL, counted on the wire."""

from collections.abc import Iterator

import pytest
from sqlalchemy import insert

from shards.engines import Shard, Shards
from shards.inbox import inbox
from tests.support.counting_proxy import CountingProxy, counting_proxy
from tests.support.job_stage import SOON, Stage, answer_of, success
from tests.support.parts import section_of
from tests.support.postgresql import PostgreSQLServer
from worker.conclusion import Deferral, Return
from worker.inbox_look import look_first
from worker.job_in_hand import Part
from worker.tasks import Task

ROUND_TRIPS = 3  # BEGIN, the query, the end of the transaction with the reset of the session
OPEN = {"state": "open", "attempt": 0, "starts": 0, "dead_letter": False, "created_at": 1}


@pytest.fixture(name="proxy")
def start_proxy(server: PostgreSQLServer) -> Iterator[CountingProxy]:
    with counting_proxy(server.port) as proxy:
        yield proxy


@pytest.fixture(name="far")
def make_shards_behind_proxy(server: PostgreSQLServer, url: str, proxy: CountingProxy) -> Iterator[Shards]:
    """One shard, whose connection is open."""
    far_url = url.replace(f":{server.port}/", f":{proxy.port}/")
    shards = Shards({"eu0": section_of(far_url, 2, 5.0, 30.0)})
    ask(Stage(2), shards)
    yield shards
    shards.close()


def ask(stage: Stage, shards: Shards) -> list[Part]:
    """Start the stage's job with a look, which runs at once: the parts that go to their lanes."""
    offered: list[Part] = []

    def offer_task(_shard: str, task: Task) -> Deferral | None:
        task.run()
        return None

    def offer_part(part: Part) -> Deferral | None:
        offered.append(part)
        return SOON

    look_first(stage.job, shards, offer_part, offer_task)
    return offered


def record(shard: Shard, parts: tuple[Part, ...]) -> None:
    """Let the inbox have these parts' outcomes."""
    rows = []
    for part in parts:
        identity = {name: getattr(part.identity, name) for name in part.identity.__slots__}
        outcome = success(part, {"inserted": part.request.part_no})
        rows.append({**identity, **OPEN, "state": outcome.state, "outcome": outcome.body})
    with shard.connect() as connection, connection.begin():
        connection.execute(insert(inbox), rows)


@pytest.mark.parametrize("customers", [2, 5000])
def test_a_job_that_was_done_costs_one_query_at_each_place(
    far: Shards, shard: Shard, proxy: CountingProxy, customers: int
) -> None:
    """The same round trips for two customers and for 5,000; nothing is claimed, and the result is there."""
    stage = Stage(customers)
    record(shard, stage.job.parts)
    before = proxy.round_trips
    offered = ask(stage, far)

    assert proxy.round_trips - before == ROUND_TRIPS
    assert (offered, answer_of(stage).status) == ([], "succeeded")


def test_a_job_that_was_done_in_part_costs_one_query_before_the_rest(far: Shards, shard: Shard) -> None:
    """What has no outcome goes to its lane, in the job's order."""
    stage = Stage(500)
    record(shard, stage.job.parts[::2])

    assert ask(stage, far) == list(stage.job.parts[1::2])
    assert stage.concluded == [Return(SOON.after, SOON.code)]
