"""Refusals: the inbox of every place is asked once, and the answer comes exactly once."""

import itertools
import json
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from shards.directory import Placement, PlacementState
from tests.support.core import AWAY, Site
from tests.support.fakes import NOON, ManualTime
from tests.support.jobs import envelope_of, held_of, job_fields, placement_of
from worker.answers import rejected
from worker.conclusion import Deferral, Reason
from worker.envelope import identity_of
from worker.inbox_look import Rows
from worker.lane import Reply
from worker.refusal import InboxInquiry
from worker.tasks import Task

HERE = [placement_of("c-1", "eu1"), placement_of("c-2", "eu1"), placement_of("c-3", "eu2")]
HELD = held_of(job_fields(customers=["c-1", "c-2", "c-3"]))
IDENTITY = identity_of(envelope_of(HELD))


def inquire(site: Site, placements: list[Placement]) -> tuple[list[Rows | Deferral], list[Task]]:
    """Start an inquiry: where its answers go, and its tasks."""
    answers: list[Rows | Deferral] = []
    tasks: list[Task] = []

    def offer(shard: str, task: Task) -> Deferral | None:
        assert shard in {"eu1", "eu2"}
        tasks.append(task)
        return None

    InboxInquiry(site.shards, IDENTITY, placements, answers.append, HELD).start(offer)
    return answers, tasks


def test_each_place_is_asked_once_however_many_customers_live_there(site: Site) -> None:
    """One query for each shard and schema."""
    schema = Placement("c-4", "eu1", "other", PlacementState.ACTIVE, 1)

    assert len(inquire(site, HERE)[1]) == 2
    assert len(inquire(site, [*HERE, schema])[1]) == 3


def test_without_any_place_nothing_is_known(site: Site) -> None:
    """No customer of the job lives here: nobody can have run it."""
    assert inquire(site, []) == ([{}], [])


@pytest.mark.parametrize("order", list(itertools.permutations([0, 1])))
def test_the_answer_comes_once_when_all_have_been_asked(site: Site, order: tuple[int, ...]) -> None:
    """One row anywhere is enough to know the job."""
    site.answer(job_fields(customers=["c-3"]))
    answers, tasks = inquire(site, HERE)
    assert tasks[order[0]].run() is Reply.ANSWERED
    assert answers == []
    assert tasks[order[1]].run() is Reply.ANSWERED

    (rows,) = answers
    assert isinstance(rows, dict)
    assert {name: row.state for name, row in rows.items()} == {"c-3": "succeeded"}


def test_a_row_of_another_customer_or_job_is_not_this_job_s(site: Site) -> None:
    """Only what was asked for counts."""
    site.answer(job_fields(job_id="job-2", customers=["c-3"]))
    answers, tasks = inquire(site, HERE)
    for task in tasks:
        assert task.run() is Reply.ANSWERED

    assert answers == [{}]


@pytest.mark.parametrize("order", list(itertools.permutations([0, 1])))
def test_one_shard_that_was_not_asked_leaves_the_question_open(site: Site, order: tuple[int, ...]) -> None:
    """Whatever the other one said: the job waits."""
    site.answer(job_fields(customers=["c-1"]))
    answers, tasks = inquire(site, HERE)
    for number in order:
        if number == 1:
            tasks[number].give_back(AWAY)
        else:
            assert tasks[number].run() is Reply.ANSWERED

    assert answers == [AWAY]


def test_a_shard_that_cannot_be_asked_is_asked_again(site: Site) -> None:
    """The task reports nothing: it is its lane's next probe."""
    site.lose_shard("eu2")
    answers, tasks = inquire(site, HERE)

    assert [task.run() for task in tasks] == [Reply.ANSWERED, Reply.UNANSWERED]
    assert answers == []


def test_a_lane_that_fails_unexpectedly_is_no_answer(site: Site) -> None:
    """The others are asked all the same, and the answer comes once."""
    answers: list[Rows | Deferral] = []
    tasks: list[Task] = []

    def offer(shard: str, task: Task) -> Deferral | None:
        if shard == "eu1":
            raise LookupError
        tasks.append(task)
        return None

    with capture_logs() as lines:
        InboxInquiry(site.shards, IDENTITY, HERE, answers.append, HELD).start(offer)
    for task in tasks:
        task.run()

    assert answers == [Deferral(timedelta(), "internal_error")]
    assert [line["event"] for line in lines] == ["intake.failed"]


def test_a_rejection_says_who_why_and_when() -> None:
    """And the dead letter has the same reason."""
    held = held_of(job_fields(correlation_id="k", run=2), received_at=NOON)
    time = ManualTime()
    time.pass_time(3)
    answer = rejected(
        identity_of(envelope_of(held)), "expired", "Too late.", held.received_at, time.clock.now()
    )

    assert json.loads(answer.body) == {
        "job_id": "job-1",
        "run": 2,
        "type": "orders.insert",
        "partner_id": "acme",
        "correlation_id": "k",
        "dry_run": False,
        "status": "rejected",
        "customers": [],
        "received_at": "2026-11-21T12:00:00Z",
        "finished_at": "2026-11-21T12:00:03Z",
        "error": {"code": "expired", "message": "Too late.", "retryable": False, "details": []},
    }
    assert answer.dead_letter == Reason("expired", "Too late.")
