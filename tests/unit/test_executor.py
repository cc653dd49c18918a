"""The executor: what a part leaves when it runs, is refused or is a copy, and what its handler sees."""

import sqlite3
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError as SQLAlchemyOperationalError

from config.result import error_of
from handlers.contract import PartContext, Reject, Retry
from handlers.middleware import Middleware, Next, PartEnvelope
from shards import failure_codes
from shards.failures import KnownFailure, failure_of
from shards.inbox import ContentConflict, InboxState, Outcome, Superseded
from tests.support.core import Site, insert_order
from tests.support.executing import code_of, locked, part_of, raising, run, the_row
from tests.support.jobs import inbox_rows, orders
from worker.conclusion import Answer, Deferral
from worker.job_in_hand import Part
from worker.reports import Ended, Report

pytestmark = pytest.mark.usefixtures("quiet")


class TransactionLost(KnownFailure):
    """What a database's deadlock amounts to."""

    def __init__(self) -> None:
        super().__init__(failure_of(failure_codes.CONFLICT))


def test_a_part_that_succeeds_leaves_its_rows_and_its_outcome(site: Site) -> None:
    """Once: the next copy finds the outcome and runs nothing."""
    first, second = run(site), run(site)

    assert first == second == Ended(Outcome("succeeded", 1, first.outcome.body))  # type: ignore[union-attr]
    assert (orders(site.path), the_row(site)["state"]) == ([1], InboxState.SUCCEEDED)


def test_a_try_after_a_deadlock_gets_the_payload_as_it_was_sent(site: Site) -> None:
    """A handler that used up what it was given inserts as much the second time as the first."""
    tries: list[int] = []

    def handler(payload: Any, context: PartContext) -> Any:
        tries.append(len(payload["rows"]))
        while payload["rows"]:
            insert_order(payload["rows"].pop(), context)
        if len(tries) == 1:
            raise TransactionLost

    assert isinstance(run(site, handler, payload={"rows": [{"order_no": 1}, {"order_no": 2}]}), Ended)
    assert (tries, orders(site.path)) == ([2, 2], [1, 2])


def test_another_content_under_the_same_job_is_a_conflict(site: Site) -> None:
    """The handler is not called, the first outcome stands."""
    run(site)

    assert isinstance(run(site, payload={"order_no": 2}), ContentConflict)
    assert orders(site.path) == [1]


def test_a_copy_of_an_earlier_run_is_superseded(site: Site) -> None:
    """Nobody answers it."""
    run(site, raising(Reject("own_code", "No.")), run=2)

    assert isinstance(run(site, run=1), Superseded)


def test_a_refused_part_is_recorded_as_failed_without_its_handler(site: Site) -> None:
    """Unless an outcome is there, which wins."""
    part = part_of(site)
    part.refusal = error_of("expired", "Too late.")
    report = site.executor.run(part)
    assert code_of(report) == "expired"
    assert (orders(site.path), the_row(site)["state"]) == ([], "failed")

    other = part_of(site, job_id="job-2")
    done = site.executor.run(other)
    other.refusal = error_of("expired", "Too late.")
    assert site.executor.run(other) == done


class Noting(Middleware):
    """Notes when it is entered and left."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self._name, self._notes = name, notes

    def __call__(self, envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - the protocol's word
        """Note, go on, note."""
        self._notes.append(f"{self._name} {envelope.customer_id}")
        outcome = next(envelope)
        self._notes.append(f"{self._name} after")
        return outcome


def test_middleware_wraps_the_transaction_in_the_order_of_the_configuration(tmp_path: Path) -> None:
    """The first is the outermost; the transaction begins and is committed inside all of them."""
    notes: list[str] = []

    def outcome_is_committed(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - the protocol's word
        assert inbox_rows(tmp_path) == []
        outcome = next(envelope)
        assert len(inbox_rows(tmp_path)) == 1
        return outcome

    site = Site(tmp_path, [Noting("outer", notes), Noting("inner", notes), outcome_is_committed])

    def handler(payload: Any, context: PartContext) -> Any:
        notes.append("handler")
        return insert_order(payload, context)

    assert isinstance(run(site, handler), Ended)
    assert notes == ["outer c-1", "inner c-1", "handler", "inner after", "outer after"]


def failing_with(error: Exception) -> Middleware:
    def middleware(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002, ARG001 - the protocol's words
        raise error

    return middleware


OWN_DATABASE_AWAY = SQLAlchemyOperationalError("SELECT 1", {}, sqlite3.OperationalError("unable to open"))


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Reject("own_code", "No."), "failed"),
        (Retry(), "open"),
        (LookupError(), "open"),
        (OWN_DATABASE_AWAY, "open"),
    ],
)
def test_what_middleware_raises_ends_the_part_as_if_the_handler_had(
    tmp_path: Path, error: Exception, state: str
) -> None:
    """The handler is not called. A database of its own that is away is not the customer's shard."""
    site = Site(tmp_path, [failing_with(error)])
    run(site, lambda *_: pytest.fail("it was run"))

    assert the_row(site)["state"] == state


def test_the_context_tells_the_handler_where_it_is(site: Site) -> None:
    """Job, type, customer, placement, time left, and a log of its own."""
    seen: list[PartContext] = []
    left: list[timedelta] = []

    def handler(_payload: Any, context: PartContext) -> Any:
        seen.append(context)
        site.time.pass_time(60)
        left.append(context.time_left())
        context.progress(3, 10)

    site.handler = handler
    part = part_of(site)
    site.executor.run(part)
    (context,) = seen

    assert (context.job.job_id, context.job_type, context.customer_id) == ("job-1", "orders.insert", "c-1")
    assert (context.placement.shard, context.schema, context.attachments) == ("eu1", None, {})
    assert left == [timedelta(minutes=9)]
    assert part.progress == (3, 10)
    assert (part.lane_wait_seconds, part.database_seconds) == (0, 60)


def test_a_lease_that_is_lost_is_seen_by_the_handler(site: Site) -> None:
    """It may stop early; its commit would still decide who was first."""
    seen: list[bool] = []
    part = part_of(site)

    def handler(_payload: Any, context: PartContext) -> Any:
        seen.append(context.lease_lost.is_set())
        part.owner.held[0].lost.set()
        seen.append(context.lease_lost.is_set())

    site.handler = handler
    report = site.executor.run(part)

    assert seen == [False, True]
    assert isinstance(report, Ended)


def test_an_answer_is_the_same_whoever_finds_the_outcome(site: Site) -> None:
    """A part that failed for good, asked for by a later copy: the same bytes."""
    site.handler = raising(Reject("own_code", "No."))
    first, second = site.conclude(), site.conclude(message_id="message-2")

    assert isinstance(first, Answer)
    assert first == second


def test_parts_of_many_threads_share_the_executor(site: Site) -> None:
    """On one shard they take turns; each is done once."""
    parts = [part_of(site, job_id=f"job-{number}", payload={"order_no": number}) for number in range(16)]
    reports: list[Report] = []

    def work(part: Part) -> None:
        report: Report = Deferral(timedelta(), "busy")
        while not isinstance(report, Ended):
            report = site.executor.run(part)
        reports.append(report)

    threads: Sequence[threading.Thread] = [threading.Thread(target=work, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(reports) == 16
    assert orders(site.path) == list(range(16))


@pytest.mark.parametrize(("receive_count", "seconds"), [(1, 2.5), (2, 5), (4, 20), (5, 30), (1000, 30)])
def test_a_part_in_another_worker_s_hands_is_looked_at_ever_more_rarely(
    site: Site, receive_count: int, seconds: float
) -> None:
    """A copy of an hour's part would else be received a thousand times; the longest wait is a minute."""
    with locked(site):
        report = run(site, receive_count=receive_count)

    assert report == Deferral(timedelta(seconds=seconds), "busy")
