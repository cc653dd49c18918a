"""The intake: each part goes to its customer's shard, copies join, and what is not known yet waits."""

from datetime import timedelta
from typing import Any

import pytest

from shards.directory import DirectoryUnavailable, PlacementState
from tests.support.core import Site
from tests.support.intake import three_customers
from tests.support.jobs import inbox_rows, job_fields, orders
from worker.conclusion import Answer, Bury, Return


def test_a_job_goes_to_the_shard_of_each_customer_and_is_answered(site: Site) -> None:
    """Its rows stand there, its result names each customer in the job's order."""
    result = site.answer(three_customers())

    assert (orders(site.path, "eu1"), orders(site.path, "eu2")) == ([1, 2], [3])
    assert [entry["status"] for entry in result["customers"]] == ["succeeded"] * 3
    assert site.settled[0].held[0].prepared_at is not None


def test_copies_of_a_job_in_hand_are_joined_to_it(site: Site) -> None:
    """One run, one result, and every copy leaves with it."""
    copies = [site.take(message_id=f"message-{number}") for number in range(3)]
    site.run()

    (settled,) = site.settled
    assert settled.held == copies
    assert site.offered == ["c-1"]
    assert [held.copied for held in copies] == [False, True, True]


@pytest.mark.parametrize("other", [{"run": 2}, {"payload": {"order_no": 2}}, {"job_id": "job-2"}])
def test_only_equal_copies_are_joined(site: Site, other: dict[str, Any]) -> None:
    """Another run or other content is another matter: the inbox decides."""
    site.take()
    site.take(job_fields(**other))

    assert site.offered == ["c-1", "c-1"]


def test_a_real_job_does_not_join_a_dry_run_of_the_same_content(site: Site) -> None:
    """Nor the other way round: what the one is answered is not the other's answer."""
    site.take()
    site.take(job_fields(dry_run=True), message_id="message-2")
    site.run()

    assert [[held.delivery.message_id for held in settled.held] for settled in site.settled] == [
        ["message-1"],
        ["message-2"],
    ]
    assert orders(site.path) == [1]


def test_no_part_of_another_content_starts_once_a_conflict_is_known(site: Site) -> None:
    """Not even one that was in its lane already: the message is not this job's at all."""
    site.conclude()
    other = job_fields(customers=["c-1", "c-2"], payload={"order_no": 2})

    assert isinstance(site.conclude(other, message_id="message-2"), Bury)
    assert (orders(site.path), len(inbox_rows(site.path))) == ([1], 1)


def test_the_same_job_after_its_end_gives_the_same_result_from_the_inbox(site: Site) -> None:
    """Nothing runs again; the bytes are equal but for the two times."""
    first = site.answer()
    site.pass_time(minutes=1)
    second = site.answer(message_id="message-2")
    times = {"received_at", "finished_at"}

    assert orders(site.path) == [1]
    assert first["finished_at"] != second["finished_at"]
    assert {k: v for k, v in first.items() if k not in times} == {
        k: v for k, v in second.items() if k not in times
    }


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"type": "new.type"}, "unknown_type"), ({"customers": ["c-1", "c-new"]}, "unknown_customer")],
)
def test_what_is_not_known_here_yet_is_postponed_within_the_grace(
    site: Site, fields: dict[str, Any], code: str
) -> None:
    """A worker of the version before does not refuse what the version after it knows."""
    site.pass_time(seconds=60)
    assert site.conclude(job_fields(**fields)) == Return(timedelta(seconds=30), code)
    site.pass_time(seconds=530)
    assert site.conclude(job_fields(**fields)) == Return(timedelta(seconds=10), code)
    site.pass_time(seconds=10)
    conclusion = site.conclude(job_fields(**fields))

    assert isinstance(conclusion, Answer)
    assert (conclusion.status, conclusion.dead_letter and conclusion.dead_letter.code) == ("rejected", code)
    assert inbox_rows(site.path) == []


def test_a_job_waits_while_the_directory_is_away(site: Site) -> None:
    """Also one that is refused: what came before cannot be looked up."""
    site.directory.error = DirectoryUnavailable()
    codes = [
        site.conclude(body) for body in (job_fields(), job_fields(dry_run=True), job_fields(attachments=1))
    ]

    assert [getattr(one, "code", None) for one in codes][:1] == ["directory_away"]
    assert getattr(codes[2], "code", None) == "directory_away"


def test_a_customer_that_is_paused_waits_while_the_others_go_on(site: Site) -> None:
    """The job comes again for it; the others' outcomes are found then."""
    site.directory.set_state("c-2", PlacementState.PAUSED)
    assert site.conclude(three_customers()) == Return(timedelta(seconds=30), "customer_paused")
    assert (orders(site.path, "eu1"), orders(site.path, "eu2")) == ([1], [3])
    site.directory.set_state("c-2", PlacementState.ACTIVE)

    assert site.answer(three_customers())["status"] == "succeeded"
    assert orders(site.path, "eu1") == [1, 2]


def test_a_customer_that_is_gone_fails_and_its_shard_is_not_asked(site: Site) -> None:
    """However often the job comes."""
    site.directory.set_state("c-2", PlacementState.GONE)
    results = [site.answer(three_customers()) for _ in range(2)]

    for result in results:
        assert [entry.get("error", {}).get("code") for entry in result["customers"]] == [
            None,
            "customer_gone",
            None,
        ]
    assert site.offered == ["c-1", "c-3"] * 2
