"""Dry runs in the daemon's core: answered as the real job would be, and nothing is left of them."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from handlers.contract import PartContext, Reject, Retry
from handlers.middleware import Next, PartEnvelope
from shards.directory import PlacementState
from shards.inbox import Outcome
from tests.support.core import Site, insert_order
from tests.support.executing import code_of, locked, part_of, raising
from tests.support.intake import attachment, three_customers
from tests.support.jobs import inbox_rows, job_fields, orders
from worker.conclusion import Answer
from worker.tasks import PartTask

pytestmark = pytest.mark.usefixtures("quiet")

INSERTED = [{"table": "orders", "inserted": 1, "updated": 0, "deleted": 0, "upserted": 0}]


def dry(**fields: Any) -> dict[str, Any]:
    """A job that only asks."""
    return job_fields(dry_run=True, **fields)


def nothing_is_left(site: Site) -> bool:
    """Whether neither rows nor records stand on the first shard."""
    return (orders(site.path), inbox_rows(site.path)) == ([], [])


def test_a_dry_run_tells_what_would_happen_and_does_nothing(site: Site) -> None:
    """Its answer says that it is one, what the handler returned and what would have changed."""
    conclusion = site.conclude(dry())

    assert isinstance(conclusion, Answer)
    assert (conclusion.status, conclusion.dead_letter) == ("succeeded", None)
    result = site.answer(dry())
    assert result["dry_run"] is True
    assert result["customers"] == [
        {"customer_id": "c-1", "status": "succeeded", "result": {"inserted": 1}, "changes": INSERTED}
    ]
    assert nothing_is_left(site)


def test_a_real_job_tells_no_changes(site: Site) -> None:
    """Nothing is counted for it."""
    assert "changes" not in site.answer()["customers"][0]


def test_the_handler_is_told(site: Site) -> None:
    """So that it does nothing outside the transaction."""
    told = []

    def handler(_payload: Any, context: PartContext) -> None:
        told.append(context.dry_run)

    site.handler = handler
    site.conclude(dry())
    site.conclude()

    assert told == [True, False]


def test_a_dry_run_takes_nothing_of_the_real_job_and_leaves_it_nothing(site: Site) -> None:
    """Whichever comes first, under one id and run, and however often."""
    assert site.answer(dry())["status"] == "succeeded"
    assert site.answer()["status"] == "succeeded"
    before = inbox_rows(site.path)
    again = site.answer(dry(), receive_count=2)

    assert (again["dry_run"], again["customers"][0]["error"]["code"]) == (True, "unique_violation")
    assert inbox_rows(site.path) == before
    assert site.answer()["status"] == "succeeded"


def test_a_repeat_does_not_look_for_what_the_real_job_came_to(site: Site) -> None:
    """Received again, for several customers of one database: where a real job would find its outcomes."""
    site.answer(three_customers())
    asked = site.answer(three_customers(dry_run=True), receive_count=2)

    assert [customer["status"] for customer in asked["customers"]] == ["failed"] * 3


def test_a_dry_run_s_turns_are_not_counted(site: Site) -> None:
    """They say nothing about how the job type does."""
    counted: list[tuple[str, str]] = []
    for asks in (True, False):
        part = part_of(site, dry_run=asks, job_id=f"job-{asks}")
        PartTask(part, site.executor, lambda *turn: counted.append(turn)).run()

    assert counted == [("orders.insert", "succeeded")]


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (Reject("no_stock", "There is none."), "no_stock", False),
        (Retry("Not now."), "retry_requested", True),
        (RuntimeError("?"), "handler_error", True),
        (SystemExit(1), "handler_error", True),
    ],
)
def test_any_failure_of_the_handler_is_the_answer(
    site: Site, error: BaseException, code: str, *, retryable: bool
) -> None:
    """At once, though the real job would be tried again; nothing of it goes to the failure queue."""
    site.handler = raising(error)
    conclusion = site.conclude(dry())

    assert isinstance(conclusion, Answer)
    assert (conclusion.status, conclusion.code, conclusion.dead_letter) == ("failed", code, None)
    (customer,) = site.answer(dry())["customers"]
    assert (customer["error"]["code"], customer["error"]["retryable"]) == (code, retryable)
    assert nothing_is_left(site)


@pytest.mark.parametrize(
    ("returned", "code"), [(float("nan"), "bad_result"), ("x" * 70_000, "bad_result"), (None, None)]
)
def test_what_the_handler_returns_is_judged_as_for_real(site: Site, returned: Any, code: str | None) -> None:
    """A result that is none fails the dry run, too."""
    site.handler = lambda _payload, _context: returned
    conclusion = site.conclude(dry())

    assert isinstance(conclusion, Answer)
    assert conclusion.code == code


def commit_beneath(payload: Any, context: PartContext) -> None:
    """A handler that commits by its driver."""
    insert_order(payload, context)
    context.connection.connection.driver_connection.commit()  # type: ignore[union-attr]


def test_a_handler_that_commits_all_the_same_is_answered_and_told_loudly(site: Site) -> None:
    """What it wrote stays: somebody has to know."""
    site.handler = commit_beneath
    with capture_logs() as lines:
        conclusion = site.conclude(dry())

    assert isinstance(conclusion, Answer)
    assert (conclusion.code, conclusion.dead_letter) == ("broken_transaction", None)
    assert [(line["log_level"], line["error_code"]) for line in lines if line["event"] == "part.failed"] == [
        ("error", "broken_transaction")
    ]
    assert (orders(site.path), inbox_rows(site.path)) == ([1], [])


def test_a_shard_that_is_away_or_busy_is_waited_for(site: Site) -> None:
    """Neither is an answer; what runs elsewhere meanwhile runs again then."""
    with locked(site):
        assert getattr(site.conclude(three_customers(dry_run=True)), "code", None) == "busy"
    site.lose_shard("eu2")

    assert getattr(site.conclude(three_customers(dry_run=True)), "code", None) == "shard_away"
    assert nothing_is_left(site)


def test_a_refused_dry_run_is_answered_and_kept_nowhere(site: Site) -> None:
    """There is nothing to be done again; no inbox is asked, whatever ran under its id."""
    site.conclude()
    conclusion = site.conclude(dry(partner_id="stranger"))

    assert isinstance(conclusion, Answer)
    assert (conclusion.status, conclusion.code, conclusion.dead_letter) == ("rejected", "not_granted", None)


def test_a_message_that_would_be_a_dry_run_if_it_were_a_job_is_kept(site: Site) -> None:
    """And answered, though the inbox knows its id: that answer is the real job's."""
    site.conclude()
    conclusion = site.conclude(dry(attachments="no list"))

    assert isinstance(conclusion, Answer)
    assert conclusion.dead_letter is not None
    assert (conclusion.status, conclusion.dead_letter.code) == ("rejected", "bad_message")


def test_a_customer_that_is_gone_and_a_bad_attachment_fail_unrecorded(site: Site) -> None:
    """Their shard is not asked for that."""
    site.directory.set_state("c-2", PlacementState.GONE)
    reference = attachment(site, sha256="0" * 64)
    result = site.answer(three_customers(dry_run=True, attachments=[reference]))

    codes = [customer["error"]["code"] for customer in result["customers"]]
    assert codes == ["attachment_mismatch", "customer_gone", "attachment_mismatch"]
    assert site.offered == []
    assert nothing_is_left(site)


def test_copies_of_one_dry_run_are_joined(site: Site) -> None:
    """One run, one answer, both acked."""
    copies = [site.take(dry(), message_id=f"message-{number}") for number in (1, 2)]
    site.run()

    (settled,) = site.settled
    assert settled.held == copies


def test_a_dry_run_goes_through_the_middleware(tmp_path: Any) -> None:
    """Which may see what it is, and asks for another try as ever."""
    seen: list[bool] = []

    def link(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - the contract's name
        seen.append(envelope.job.dry_run)
        return next(envelope)

    site = Site(tmp_path, middleware=[link])
    assert site.answer(dry())["status"] == "succeeded"
    assert seen == [True]
    site.close()


def test_a_dry_run_shares_no_transaction(tmp_path: Any) -> None:
    """It would take the others' work back with its own."""
    site = Site(tmp_path, types={"orders.insert": {"group": 20}})
    site.take()
    site.take(dry(job_id="job-2"), message_id="message-2")
    limits = [task.share_limit for _, task in site.tasks if isinstance(task, PartTask)]

    assert limits == [20, 1]
    site.close()


def test_a_dry_run_that_is_given_up_is_answered(site: Site) -> None:
    """Its thread does not come back: what it would write is rolled back with its connection."""
    part = part_of(site, dry_run=True)

    assert code_of(site.executor.record_out_of_time(part)) == "part_timeout"
    assert nothing_is_left(site)
