"""A job that comes again: each inbox is asked once, and what it says is what the claims would have found."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from config.result import error_of, failed, succeeded
from shards.directory import PlacementState
from tests.support.core import Site
from tests.support.fakes import NOON
from tests.support.jobs import envelope_of, held_of, inbox_rows, job_fields, orders, placement_of
from worker.conclusion import Answer, Bury, Conclusion, Deferral, Return
from worker.inbox_look import LookUp
from worker.routing import part_identities
from worker.tasks import PartTask

HOMES = {"c-1": "eu1", "c-2": "eu1", "c-3": "eu2", "c-4": "eu2"}
AGAIN = {"receive_count": 2}
OPEN = {"state": "open", "attempt": 0, "starts": 0, "dead_letter": False, "created_at": 1}

SUCCEEDED = succeeded("c", "as it was")
FAILED = failed("c", error_of("unique_violation", "As it was."))
ROWS: dict[str, dict[str, Any] | None] = {
    "absent": None,
    "succeeded": {"state": "succeeded", "outcome": SUCCEEDED},
    "failed": {"state": "failed", "outcome": FAILED},
    "dead": {"state": "failed", "outcome": FAILED, "dead_letter": True, "attempt": 3},
    "open": {"state": "open", "attempt": 1},
    "left claimed": {"state": "claimed"},
    "succeeded before": {"state": "succeeded", "run": 1, "outcome": SUCCEEDED},
    "failed before": {"state": "failed", "run": 1, "outcome": FAILED},
    "superseded": {"state": "open", "run": 3},
    "of another content": {"digest": "0" * 64},
}


@pytest.fixture(autouse=True)
def settle_four_customers(site: Site) -> None:
    """Two of them on each shard; their handler writes no order twice."""
    for name, shard in HOMES.items():
        site.directory.placements[name] = placement_of(name, shard)


def four(**fields: Any) -> dict[str, Any]:
    """A job of all four."""
    entries = [{"customer_id": name, "payload": {"order_no": no}} for no, name in enumerate(HOMES)]
    return job_fields(customers=entries, **fields)


def kinds(site: Site) -> list[tuple[str, str]]:
    """What waits in the lanes."""
    return [(shard, type(task).__name__) for shard, task in site.tasks]


@contextmanager
def statements() -> Iterator[list[str]]:
    """What SQLite is asked from now on, on connections that are made from now on."""
    asked: list[str] = []

    def listen(connection: sqlite3.Connection, _record: object) -> None:
        connection.set_trace_callback(asked.append)

    event.listen(Pool, "connect", listen)
    yield asked
    event.remove(Pool, "connect", listen)


def test_a_first_delivery_is_not_asked_for(site: Site) -> None:
    """Its parts go to their lanes at once: it costs what it always did."""
    site.take(four())

    assert [name for _, name in kinds(site)] == ["PartTask"] * 4


@pytest.mark.parametrize(
    ("fields", "held"),
    [
        ({}, {"receive_count": 2}),
        ({}, {"header": {"resends": 1, "first_sent_at": NOON.isoformat()}}),
        ({}, {"header": {"retried_at": NOON.isoformat()}}),
        ({"run": 2}, {}),
        ({}, {"header": {"run": 2}}),
    ],
)
def test_a_delivery_that_may_have_been_here_is_asked_for_once_at_each_place(
    site: Site, fields: dict[str, Any], held: dict[str, Any]
) -> None:
    """Received, sent or run again: one task in each shard's lane, and no part yet."""
    site.take(four(**fields), **held)

    assert kinds(site) == [("eu1", "LookUp"), ("eu2", "LookUp")]
    site.run()
    assert len(site.settled) == 1


def test_a_job_that_was_done_is_answered_again_without_any_claim(site: Site) -> None:
    """The same result, two queries, nothing written."""
    first = site.answer(four())
    site.offered.clear()
    with statements() as asked:
        site.shards.close()
        second = site.answer(four(), **AGAIN)

    assert {**second, "finished_at": ""} == {**first, "finished_at": ""}
    assert site.offered == []
    assert len([text for text in asked if text.startswith("SELECT shardworker_inbox")]) == 2
    assert not [text for text in asked if text.startswith(("INSERT", "UPDATE", "BEGIN IMMEDIATE"))]


def test_only_what_has_no_outcome_runs(site: Site) -> None:
    """The others end by what their inbox says."""
    site.directory.set_state("c-2", PlacementState.PAUSED)
    assert isinstance(site.conclude(four()), Return)
    site.directory.set_state("c-2", PlacementState.ACTIVE)
    site.offered.clear()
    result = site.answer(four(), **AGAIN)

    assert site.offered == ["c-2"]
    assert (result["status"], orders(site.path), orders(site.path, "eu2")) == ("succeeded", [0, 1], [2, 3])


def test_a_part_that_is_alone_at_its_place_is_claimed_at_once(site: Site) -> None:
    """Its claim tells as much as a look, and a paused customer's inbox is left in peace."""
    site.directory.set_state("c-2", PlacementState.PAUSED)
    site.take(four(), **AGAIN)

    assert kinds(site) == [("eu1", "PartTask"), ("eu2", "LookUp")]


def test_customers_of_one_shard_with_schemas_of_their_own_are_asked_for_apart(site: Site) -> None:
    """Each schema has its inbox."""
    for name in ("c-3", "c-4"):
        site.directory.placements[name] = placement_of(name, "eu1")
    site.take(four(), **AGAIN)
    assert kinds(site) == [("eu1", "LookUp")]
    site.run()
    site.directory.placements |= {
        name: replace_schema(site, name, schema) for name, schema in {"c-3": "a", "c-4": "a"}.items()
    }
    site.take(four(), **AGAIN)

    assert kinds(site) == [("eu1", "LookUp")] * 2
    site.run()


def replace_schema(site: Site, name: str, schema: str) -> Any:
    """The customer's placement in a schema."""
    placement = site.directory.placements[name]
    return type(placement)(name, placement.shard, schema, placement.state, placement.epoch)


def test_a_place_that_is_away_holds_up_no_other(site: Site) -> None:
    """Its customers wait; the others' outcomes are told and their open parts run."""
    site.directory.set_state("c-2", PlacementState.PAUSED)
    site.conclude(four())
    site.directory.set_state("c-2", PlacementState.ACTIVE)
    site.lose_shard("eu2")
    site.take(four(), **AGAIN)
    (job,) = site.intake.jobs()
    assert job.standing({"eu2"}).waiting == ("c-3", "c-4")
    site.tasks.pop(0)[1].run()
    assert kinds(site) == [("eu2", "LookUp"), ("eu1", "PartTask")]
    site.tasks.pop()[1].run()
    assert (job.standing({"eu2"}).done, orders(site.path)) == (2, [0, 1])
    site.run()

    assert site.settled[-1].conclusion == Return(timedelta(seconds=7), "shard_away")
    assert job.standing(()).waiting == ("c-3", "c-4")


def test_a_place_whose_lane_takes_nothing_waits_for_another_delivery(site: Site) -> None:
    """With the wait that the lane says."""
    site.conclude(four())
    site.refusing["eu1"] = Deferral(timedelta(seconds=30), "shard_away")

    assert site.conclude(four(), **AGAIN) == Return(timedelta(seconds=30), "shard_away")


def test_a_lane_that_fails_unexpectedly_lets_the_job_be_tried_again(site: Site, quiet: None) -> None:
    """It is concluded, whatever was asked for by then."""
    del quiet
    site.conclude(four())
    site.offer_error = LookupError()
    conclusion = site.conclude(four(), **AGAIN)

    assert isinstance(conclusion, Return)
    assert conclusion.code == "internal_error"


def test_a_worker_that_stops_gives_a_job_back_that_it_asked_for(site: Site) -> None:
    """The lanes are closed before the question had its turn."""
    site.take(four(), **AGAIN)
    for _, task in site.tasks:
        task.give_back(Deferral(timedelta(), "shutdown"))

    assert [one.conclusion for one in site.settled] == [Return(timedelta(), "shutdown")]


def test_a_refused_job_claims_only_what_has_no_outcome(site: Site) -> None:
    """Its rows have been read: they end their parts, and the rest is recorded as refused."""
    job = four(expires_at=(NOON + timedelta(seconds=5)).isoformat())
    site.directory.set_state("c-4", PlacementState.PAUSED)
    site.conclude(job)
    site.directory.set_state("c-4", PlacementState.ACTIVE)
    site.pass_time(seconds=10)
    site.offered.clear()
    result = site.answer(job, **AGAIN)

    assert site.offered == ["c-4"]
    assert [one["status"] for one in result["customers"]] == ["succeeded"] * 3 + ["failed"]


def write_rows(site: Site, job: dict[str, Any], rows: dict[str, dict[str, Any] | None]) -> None:
    """Rows in the inbox of eu1, of the job's parts unless they say otherwise."""
    envelope = envelope_of(held_of(job))
    identities = part_identities(envelope, envelope.job.part_requests())
    with closing(sqlite3.connect(site.path / "eu1.db")) as connection, connection:
        for identity in identities:
            row = rows[identity.customer_id]
            if row is not None:
                values = {
                    **{name: getattr(identity, name) for name in identity.__slots__},
                    **OPEN,
                    **row,
                }
                names = ", ".join(values)
                marks = ", ".join(f":{name}" for name in values)
                connection.execute(f"INSERT INTO shardworker_inbox ({names}) VALUES ({marks})", values)  # noqa: S608 - the test's own names


def ending(conclusion: Conclusion, job_id: str) -> object:
    """A conclusion but for the job's id and what is drawn by chance."""
    match conclusion:
        case Answer():
            result = json.loads(conclusion.body.replace(job_id, "JOB"))
            return result["status"], result["customers"], conclusion.dead_letter
        case Bury():
            return conclusion.dead_letter.code
        case Return():
            return conclusion.code, conclusion.attempt
        case _:
            return conclusion


@pytest.mark.parametrize("first", ROWS)
def test_the_look_finds_what_the_claims_would_have_found(site: Site, first: str, quiet: None) -> None:
    """Whatever the two rows say: the same conclusion and the same rows afterwards, in run 2 of a job."""
    del quiet
    site.handler = lambda *_: "done"
    for second in ROWS:
        endings, rows = [], []
        for number, looked in enumerate((False, True)):
            job_id = f"job-{second.replace(' ', '-')}-{number}"
            job = job_fields(job_id=job_id, customers=["c-1", "c-2"], run=2)
            write_rows(site, job, {"c-1": with_run(first), "c-2": with_run(second)})
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr("worker.intake.came_before", lambda *_, looked=looked: looked)
                site.take(job)
            assert isinstance(site.tasks[0][1], LookUp if looked else PartTask)
            site.run()
            endings.append(ending(site.settled[-1].conclusion, job_id))
            rows.append([plain(row) for row in inbox_rows(site.path) if row["job_id"] == job_id])

        assert endings[0] == endings[1], (first, second)
        assert conflicting(first, second) or rows[0] == rows[1], (first, second)


def conflicting(*rows: str) -> bool:
    """Whether a verdict ends the job: how many of the other parts have run by then is open."""
    return bool({"superseded", "of another content"} & set(rows))


def with_run(name: str) -> dict[str, Any] | None:
    """The named row, of run 2 unless it says otherwise."""
    row = ROWS[name]
    return None if row is None else {"run": 2, **row}


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row but for its job and its times."""
    return {name: value for name, value in row.items() if name not in {"job_id", "created_at", "finished_at"}}
