"""The intake's refusals: a job that may not run, one that ran in part, a message that nobody can read."""

from datetime import timedelta
from typing import Any

import pytest

from shards.directory import PlacementState
from tests.support.core import Site
from tests.support.fakes import NOON
from tests.support.intake import rejection, three_customers
from tests.support.jobs import inbox_rows, job_fields, orders
from worker.conclusion import Answer, Bury, Return


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"partner_id": "stranger"}, "not_granted"),
        ({"partner_id": "poor"}, "not_granted"),
        ({"expires_at": NOON.isoformat()}, "expired"),
    ],
)
def test_a_job_that_may_not_run_is_rejected_and_dead_lettered(
    site: Site, fields: dict[str, Any], code: str
) -> None:
    """Nothing ran, nothing is recorded; the answer and the dead letter have the same code."""
    assert rejection(site, **fields) == ("rejected", code, code)
    assert (inbox_rows(site.path), orders(site.path), site.offered) == ([], [], [])


def test_a_job_that_has_not_expired_yet_runs(site: Site) -> None:
    """Up to its last second."""
    assert (
        site.answer(job_fields(expires_at=(NOON + timedelta(seconds=1)).isoformat()))["status"] == "succeeded"
    )


def test_a_job_older_than_the_inbox_is_kept_is_buried_unanswered(site: Site) -> None:
    """Whether it ran cannot be told: no answer is better than a wrong one."""
    old = NOON - timedelta(days=31)
    conclusion = site.conclude(sent_at=old)
    assert isinstance(conclusion, Bury)
    assert conclusion.dead_letter.code == "too_old"
    assert site.settled[0].facts.identity is not None

    assert isinstance(site.conclude(header={"first_sent_at": old.isoformat()}), Bury)
    assert isinstance(site.conclude(sent_at=NOON - timedelta(days=29)), Answer)


def test_a_bad_message_with_ids_is_rejected_when_the_inbox_knows_nothing_of_it(site: Site) -> None:
    """Its sender is told; the message goes to the failure queue."""
    conclusion = site.conclude(job_fields(attachments="no list"))

    assert isinstance(conclusion, Answer)
    assert conclusion.dead_letter is not None
    assert (conclusion.status, conclusion.dead_letter.code) == ("rejected", "bad_message")


def test_a_bad_message_with_the_ids_of_a_known_job_is_buried_unanswered(site: Site) -> None:
    """The answer belongs to the job that came before."""
    site.answer()
    conclusion = site.conclude(job_fields(attachments="no list"))

    assert isinstance(conclusion, Bury)
    assert conclusion.dead_letter.code == "bad_message"


@pytest.mark.parametrize("body", ["no json", "[1]", '{"job_id": "job-1"}', 'O:1:"A":0:{}'])
def test_a_message_that_nobody_can_be_answered_for_is_buried(site: Site, body: str) -> None:
    """On the failure queue, with the reason."""
    conclusion = site.conclude(body)

    assert isinstance(conclusion, Bury)
    assert conclusion.dead_letter.code in {"bad_message", "php_serialized"}


def test_a_refused_job_that_ran_in_part_keeps_its_outcomes_and_fails_the_rest(site: Site) -> None:
    """What came before wins; the rest is recorded, so that every later copy says the same."""
    job = three_customers(expires_at=(NOON + timedelta(seconds=5)).isoformat())
    site.directory.set_state("c-3", PlacementState.PAUSED)
    assert isinstance(site.conclude(job), Return)
    site.directory.set_state("c-3", PlacementState.ACTIVE)
    site.pass_time(seconds=10)
    results = [site.answer(job), site.answer(job)]

    for result in results:
        assert result["status"] == "partial"
        assert [entry.get("error", {}).get("code") for entry in result["customers"]] == [
            None,
            None,
            "expired",
        ]
    assert [row["state"] for row in inbox_rows(site.path, "eu2")] == ["failed"]
    assert orders(site.path, "eu2") == []


@pytest.mark.parametrize("state", [PlacementState.PAUSED, PlacementState.MOVING])
def test_a_refusal_is_not_recorded_for_a_customer_that_is_paused_or_moves(
    site: Site, state: PlacementState
) -> None:
    """What is written to a database that is being copied away is lost: the part waits, as any other."""
    job = three_customers(expires_at=(NOON + timedelta(seconds=5)).isoformat())
    site.directory.set_state("c-3", state)
    site.conclude(job)
    site.pass_time(seconds=10)

    assert site.conclude(job) == Return(timedelta(seconds=30), "customer_paused")
    assert inbox_rows(site.path, "eu2") == []


def test_a_refused_job_does_not_wait_for_the_shard_of_a_customer_that_is_gone(site: Site) -> None:
    """The shard may be gone as well: nobody asks it ever again."""
    site.lose_shard("eu2")
    site.directory.set_state("c-3", PlacementState.GONE)
    conclusion = site.conclude(three_customers(expires_at=NOON.isoformat()))

    assert isinstance(conclusion, Answer)
    assert conclusion.status == "rejected"


def test_a_refused_job_that_ran_in_part_fails_the_part_of_a_customer_that_is_gone(site: Site) -> None:
    """Without asking its shard; the other outcomes stand."""
    job = three_customers(expires_at=(NOON + timedelta(seconds=5)).isoformat())
    site.directory.set_state("c-3", PlacementState.PAUSED)
    site.conclude(job)
    site.lose_shard("eu2")
    site.directory.set_state("c-3", PlacementState.GONE)
    site.pass_time(seconds=10)
    result = site.answer(job)

    assert [entry["status"] for entry in result["customers"]] == ["succeeded", "succeeded", "failed"]
