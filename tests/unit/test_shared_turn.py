"""Parts of one lane share a transaction if they go together; else each is run as if it had been alone."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from handlers.contract import PartContext, Reject, Retry
from handlers.middleware import Next, PartEnvelope
from shards.directory import PlacementState
from shards.inbox import Outcome
from tests.support.core import Handler, insert_order
from tests.support.executing import locked, raising
from tests.support.jobs import inbox_rows, job_fields, orders
from tests.support.sharing import SharingSite
from worker.conclusion import Answer, Bury
from worker.sharing import FAILURES_MINIMUM, LONG_SECONDS, OFF_SECONDS

TEN = range(1, 11)
SUCCEEDED = dict.fromkeys(TEN, "succeeded")


@pytest.fixture(name="site")
def make_site(tmp_path: Path) -> Iterator[SharingSite]:
    site = SharingSite(tmp_path)
    yield site
    site.close()


def test_parts_that_wait_share_one_transaction(site: SharingSite) -> None:
    """Each is answered by itself, and was called once."""
    site.send(*TEN)

    assert site.run_turns() == 1
    assert (site.commits, site.ends(), site.calls) == (1, SUCCEEDED, dict.fromkeys(TEN, 1))
    assert orders(site.path) == list(TEN)


def test_no_more_share_than_are_configured(tmp_path: Path) -> None:
    """The others take the next turn."""
    site = SharingSite(tmp_path, group=4)
    site.send(*TEN)

    assert (site.run_turns(), site.commits, site.ends()) == (3, 3, SUCCEEDED)
    site.close()


def test_without_the_setting_each_part_has_a_transaction_of_its_own(tmp_path: Path) -> None:
    """It is off by default."""
    site = SharingSite(tmp_path, types={})
    site.send(*TEN)

    assert (site.run_turns(), site.commits, site.ends()) == (10, 10, SUCCEEDED)
    site.close()


def test_a_changed_setting_holds_for_what_runs_next(site: SharingSite) -> None:
    """Without a restart."""
    site.executor.apply(site.settings.model_copy(update={"types": {}}))
    site.send(*TEN)

    assert site.run_turns() == 10


@pytest.mark.parametrize(
    ("handler", "end"),
    [
        (raising(Reject("no_good", "It is no good.")), "failed"),
        (raising(Retry(after=timedelta(seconds=1))), "retry_requested"),
        (raising(KeyError("nobody expected this")), "handler_error"),
        (raising(SystemExit()), "handler_error"),
        (lambda _payload, _context: object(), "failed"),
        (lambda _payload, context: context.connection.commit(), "handler_error"),
        (lambda _payload, context: context.connection.exec_driver_sql("COMMIT"), "failed"),
    ],
    ids=["reject", "retry", "unexpected", "exit", "bad result", "refused commit", "raw commit"],
)
def test_of_ten_parts_one_fails_and_nine_succeed(site: SharingSite, handler: Handler, end: str) -> None:
    """The nine are committed once each, and what the one did is its own affair."""
    site.instead[5] = handler
    site.send(*TEN)

    with capture_logs():
        assert site.run_turns() == 1
    assert site.ends() == {**SUCCEEDED, 5: end}
    assert [number for number in orders(site.path) if number != 5] == [n for n in TEN if n != 5]
    assert max(site.calls.values()) == 2


def test_a_part_that_runs_alone_in_its_process_waits_for_those_that_share(site: SharingSite) -> None:
    """A part that may kill its process takes no neighbours with it."""

    def looking(_payload: Any, _context: PartContext) -> Any:
        with site.executor._gate.alone(patience_seconds=0) as is_alone:
            return is_alone

    site.instead[2] = looking
    site.send(1, 2)

    assert (site.run_turns(), site.commits) == (1, 1)
    results = [
        json.loads(end.body)["customers"][0]["result"]
        for _, end, _ in site.settled
        if isinstance(end, Answer)
    ]
    assert results == [{"inserted": 1}, False]


def test_a_failure_is_counted_once(site: SharingSite) -> None:
    """The run that was shared was no attempt: the one that followed alone was."""
    site.instead[5] = raising(Retry())
    site.send(*TEN)
    site.run_turns()

    (row,) = (row for row in inbox_rows(site.path) if row["job_id"] == "job-5")
    assert (row["state"], row["attempt"]) == ("open", 1)


def test_the_one_that_failed_is_run_again_last(site: SharingSite) -> None:
    """It may take all its time again, which the others do not wait for."""
    site.instead[1] = raising(Reject("no_good", "It is no good."))
    site.send(1, 2, 3)
    site.run_turns()

    assert list(site.ends()) == [2, 3, 1]


def test_a_payload_that_cannot_be_read_breaks_nobody_s_transaction(site: SharingSite) -> None:
    """It is found before anything begins."""

    def decode(_payload: Any) -> Any:
        raise Reject("invalid_payload", "It is no good.")

    site.send(1, 2, 3)
    owner = next(task.part.owner for task in site.waiting() if task.key[0] == "job-2")
    assert owner.handler is not None
    owner.handler = replace(owner.handler, decode=decode)

    assert (site.run_turns(), site.ends()) == (1, {1: "succeeded", 3: "succeeded", 2: "failed"})
    assert site.calls == {1: 1, 3: 1}


def test_a_handler_s_own_session_shares(site: SharingSite) -> None:
    """What the ORM's session takes back is its own; what it commits is only flushed."""

    def by_session(payload: Any, context: PartContext) -> Any:
        with context.session() as session:
            session.execute(text("INSERT INTO orders VALUES (99)"))
            session.rollback()
            session.execute(text("INSERT INTO orders VALUES (:order_no)"), payload)

    site.instead[2] = by_session
    site.send(1, 2, 3)

    assert (site.run_turns(), site.commits, orders(site.path)) == (1, 1, [1, 2, 3])


def test_what_may_have_a_row_runs_alone(site: SharingSite) -> None:
    """Received before, suspected of killing its process: not known to be new."""
    site.send(1, 2, receive_count=2)
    site.send(3, 4, receive_count=9)
    site.send(5, 6)
    for task in site.waiting():
        task.part.owner.suspect |= task.key[0] in {"job-5", "job-6"}

    assert site.run_turns() == 6
    assert set(site.ends().values()) == {"succeeded"}


def test_with_middleware_each_part_runs_alone(tmp_path: Path) -> None:
    """It goes around one part and its transaction."""
    seen: list[str] = []

    def link(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
        seen.append(envelope.job.job_id)
        return next(envelope)

    site = SharingSite(tmp_path, middleware=[link])
    site.send(1, 2)

    assert (site.run_turns(), seen) == (2, ["job-1", "job-2"])
    site.close()


def test_another_content_under_the_same_job_is_no_company(site: SharingSite) -> None:
    """The first one is run and answered, the other one finds out and is buried."""
    site.send(1)
    site.take(job_fields(job_id="job-1", payload={"order_no": 7}), message_id="message-7")
    assert site.run_turns() == 2

    first, second = (end for _, end, _ in site.settled)
    assert isinstance(first, Answer)
    assert isinstance(second, Bury)
    assert second.dead_letter.code == "content_conflict"
    assert orders(site.path) == [1]


def test_a_customer_who_was_paused_is_left_out(site: SharingSite) -> None:
    """The directory is asked when the turn comes; the first of them is no exception."""
    site.take(job_fields(job_id="job-1", customers=["c-2"], payload={"order_no": 1}))
    site.send(2, 3)
    site.directory.set_state("c-2", PlacementState.PAUSED)

    assert site.run_turns() == 1
    assert site.ends() == {1: "placement_stale", 2: "succeeded", 3: "succeeded"}


def test_a_busy_shard_defers_them_all(site: SharingSite) -> None:
    """As it would each one by itself: nothing is counted."""
    site.send(1, 2)
    with locked(site):
        site.run_turns()

    assert (set(site.ends().values()), inbox_rows(site.path)) == ({"busy"}, [])


def test_a_type_whose_parts_fail_is_switched_off_and_on_again(site: SharingSite) -> None:
    """Above three in a hundred they run alone, for ten minutes; the log says so."""
    for number in range(1, FAILURES_MINIMUM + 1):
        site.instead[number * 10] = raising(Reject("no_good", "It is no good."))
    with capture_logs() as lines:
        for number in range(1, FAILURES_MINIMUM + 1):
            site.send(number * 10, number * 10 + 1)
            assert site.run_turns() == 1
        site.send(101, 102)
        assert site.run_turns() == 2
        site.pass_time(seconds=OFF_SECONDS)
        site.send(103, 104)
        assert site.run_turns() == 1

    said = [line for line in lines if line["event"].startswith("sharing")]
    assert [(line["event"], line["type"]) for line in said] == [
        ("sharing.off", "orders.insert"),
        ("sharing.on", "orders.insert"),
    ]


def test_few_failures_among_many_switch_nothing_off(site: SharingSite) -> None:
    """What is saved is more than what is run twice."""
    site.send(*range(100, 180))
    site.run_turns()
    for number in (200, 210, 220):
        site.instead[number] = raising(Reject("no_good", "It is no good."))
        site.send(*range(number, number + 10))
        site.run_turns()
    site.send(1, 2)

    assert site.run_turns() == 1


def test_a_type_whose_parts_take_long_is_switched_off(site: SharingSite) -> None:
    """Many small parts gain by it; long ones would wait for each other."""

    def slow(payload: Any, context: PartContext) -> Any:
        site.pass_time(seconds=LONG_SECONDS + 1)
        return insert_order(payload, context)

    site.instead[1] = slow
    site.send(1, 2)
    assert site.run_turns() == 1
    site.send(3, 4)

    assert (site.run_turns(), site.ends()) == (2, dict.fromkeys((1, 2, 3, 4), "succeeded"))


def test_a_failure_that_the_commit_brings_switches_off_too(site: SharingSite) -> None:
    """A constraint that is deferred is nobody's until each part is run alone."""
    with site.shards.get("eu1").connect() as connection, connection.begin():
        connection.execute(text("CREATE TABLE parents (no INTEGER PRIMARY KEY)"))
        connection.execute(
            text("CREATE TABLE children (no INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)")
        )

    def orphan(payload: Any, context: PartContext) -> Any:
        context.connection.execute(text("INSERT INTO children VALUES (:order_no)"), payload)

    for number in range(1, FAILURES_MINIMUM + 1):
        site.instead[number * 10] = orphan
        site.send(number * 10, number * 10 + 1)
        assert site.run_turns() == 1
    site.send(1, 2)

    assert site.run_turns() == 2
    assert site.ends()[10] == "failed"
    assert site.ends()[11] == "succeeded"
