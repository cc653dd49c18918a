"""The executor: each kind of failure leads to its report and its inbox row, on a real SQLite shard."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from config.result import ErrorDetail
from handlers.contract import PartContext, Reject, Retry
from tests.support.core import Handler, Site, insert_order
from tests.support.executing import code_of, locked, part_of, raising, run, the_row
from tests.support.jobs import inbox_rows, orders
from worker.conclusion import Deferral
from worker.reports import Away, Ended

pytestmark = pytest.mark.usefixtures("quiet")


def executing(statement: str) -> Handler:
    def handler(_payload: Any, context: PartContext) -> Any:
        context.connection.execute(text(statement))

    return handler


def bad_value(_payload: Any, _context: PartContext) -> Any:
    return object()


def too_much(_payload: Any, _context: PartContext) -> Any:
    return "x" * 70_000


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        (raising(Reject("no_such_product", "The product is not sold.")), "no_such_product"),
        (bad_value, "bad_result"),
        (too_much, "bad_result"),
        (executing("INSERT INTO orders VALUES (7), (7)"), "unique_violation"),
    ],
)
def test_a_permanent_failure_is_recorded_at_once(site: Site, handler: Handler, code: str) -> None:
    """Nothing of the handler's work stays, no dead letter is due, and it is never run again."""
    report = run(site, handler)
    assert code_of(report) == code
    assert orders(site.path) == []
    assert (the_row(site)["state"], the_row(site)["dead_letter"]) == ("failed", 0)

    assert run(site) == report


def test_a_payload_that_does_not_decode_fails_for_good(site: Site) -> None:
    """The handler is not called."""
    part = part_of(site)
    assert part.owner.handler is not None

    def refuse(_payload: Any) -> Any:
        raise Reject("invalid_payload", "rows: expected an array.")

    part.owner.handler = type(part.owner.handler)(
        "orders.insert", lambda *_: pytest.fail("it was called"), Any, "here", "", refuse
    )
    assert code_of(site.executor.run(part)) == "invalid_payload"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Retry("The other system is closed."), "retry_requested"),
        (LookupError("unexpected"), "handler_error"),
        (SystemExit(1), "handler_error"),
        (KeyboardInterrupt(), "handler_error"),
        (RecursionError(), "handler_error"),
    ],
)
def test_a_transient_failure_is_counted_and_at_last_fails_the_part(
    site: Site, error: BaseException, code: str
) -> None:
    """Each time the wait may be longer; the last attempt is recorded, and its message dead-lettered."""
    site.time.chance = 0.5
    reports = [run(site, raising(error)) for _ in range(2)]
    assert reports == [Deferral(timedelta(seconds=5), code, 1), Deferral(timedelta(seconds=10), code, 2)]
    assert (the_row(site)["state"], the_row(site)["attempt"], orders(site.path)) == ("open", 2, [])
    last = run(site, raising(error))

    assert code_of(last) == code
    assert isinstance(last, Ended)
    assert (last.outcome.attempt, last.outcome.dead_letter, the_row(site)["attempt"]) == (3, True, 3)
    assert run(site).outcome == last.outcome  # type: ignore[union-attr]


def test_a_part_that_succeeds_at_its_second_attempt_succeeds(site: Site) -> None:
    """The open row is taken; the count stays for people to see."""
    run(site, raising(LookupError()))
    report = run(site)

    assert isinstance(report, Ended)
    assert (report.outcome.state, orders(site.path), the_row(site)["attempt"]) == ("succeeded", [1], 1)


@pytest.mark.parametrize(
    ("after", "delay"),
    [
        (timedelta(minutes=3), timedelta(minutes=3)),
        (timedelta(), timedelta()),
        (timedelta(seconds=-5), timedelta()),
    ],
)
def test_a_retry_may_name_its_own_delay(site: Site, after: timedelta, delay: timedelta) -> None:
    """No jitter, no growth: the handler knows why. There is no delay before now."""
    assert run(site, raising(Retry(after=after))) == Deferral(delay, "retry_requested", 1)


def test_a_defect_is_tried_again_then_dead_lettered_with_an_alarm(site: Site) -> None:
    """A missing table is never the partner's fault: no `bad data`, and somebody has to look."""
    handler = executing("INSERT INTO prices VALUES (1)")
    with capture_logs() as lines:
        reports = [run(site, handler) for _ in range(3)]

    assert isinstance(reports[0], Deferral)
    assert code_of(reports[2]) == "schema_defect"
    assert the_row(site)["dead_letter"] == 1
    assert [(line["event"], line["log_level"], line["error_kind"]) for line in lines] == [
        ("part.failed", "error", "defect")
    ] * 3


def test_an_unexpected_error_is_logged_without_the_handler_s_words(site: Site) -> None:
    """Its class and its stack; the error itself is for the log's own rendering."""
    with capture_logs() as lines:
        run(site, raising(LookupError("s3cret")))

    (line,) = lines
    assert (line["event"], line["job"], line["customer"], line["shard"]) == (
        "part.failed",
        "job-1",
        "c-1",
        "eu1",
    )
    assert "s3cret" not in str({name: value for name, value in line.items() if name != "exc_info"})


@pytest.mark.parametrize("error", [Reject("own_code", "No."), Retry()])
def test_what_a_handler_raises_on_purpose_is_no_line_of_the_log(site: Site, error: Exception) -> None:
    """The canonical line tells it."""
    with capture_logs() as lines:
        run(site, raising(error))

    assert lines == []


def commit_raw(payload: Any, context: PartContext) -> Any:
    insert_order(payload, context)
    context.connection.exec_driver_sql("COMMIT")
    return {"inserted": 1}


def test_a_handler_that_commits_by_itself_is_broken_and_never_run_again(site: Site) -> None:
    """What it wrote stays, unprotected: recorded, dead-lettered, with an alarm."""
    with capture_logs() as lines:
        report = run(site, commit_raw)

    assert code_of(report) == "broken_transaction"
    assert (the_row(site)["state"], the_row(site)["dead_letter"], orders(site.path)) == ("failed", 1, [1])
    assert [(line["event"], line["log_level"]) for line in lines] == [("part.failed", "error")]
    assert run(site) == report


def test_a_handler_can_neither_commit_nor_roll_back_through_sqlalchemy(site: Site) -> None:
    """It is an unexpected error of the handler's, and nothing is written."""

    def commit(_payload: Any, context: PartContext) -> Any:
        insert_order({"order_no": 1}, context)
        context.connection.commit()

    assert run(site, commit) == Deferral(timedelta(), "handler_error", 1)
    assert orders(site.path) == []


def test_a_shard_that_another_worker_writes_to_is_busy(site: Site) -> None:
    """Not counted: the part is tried again after a while."""
    with locked(site):
        report = run(site)

    assert report == Deferral(timedelta(seconds=2.5), "busy")
    assert (inbox_rows(site.path), orders(site.path)) == ([], [])


class BareReject(Reject):
    """A handler's own rejection that never calls its base."""

    def __init__(self) -> None:
        """Forget the code and the message."""


class BareRetry(Retry):
    """The same of a retry."""

    def __init__(self) -> None:
        """Forget the message and the delay."""


UNWRITABLE = Reject("own_code", "Text.", [ErrorDetail(column=5)])  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [BareReject(), BareRetry(), UNWRITABLE])
def test_a_rejection_that_cannot_be_told_is_an_unexpected_error_and_counted(
    site: Site, error: Exception
) -> None:
    """It neither ends the worker's thread nor comes back for ever without an answer."""
    reports = [run(site, raising(error)) for _ in range(3)]

    assert reports[:2] == [Deferral(timedelta(), "handler_error", count) for count in (1, 2)]
    assert code_of(reports[2]) == "handler_error"
    assert orders(site.path) == []


def test_a_failure_that_cannot_be_recorded_now_is_as_if_it_had_not_been(site: Site) -> None:
    """The part is run again: nothing was counted, nothing was answered."""

    def fail_and_let_others_write(payload: Any, context: PartContext) -> Any:
        site.shards.get("eu1").close()
        context.connection.exec_driver_sql("ROLLBACK")
        lock.execute("BEGIN IMMEDIATE")
        raise Reject("own_code", f"No {payload}.")

    with closing(sqlite3.connect(site.path / "eu1.db", isolation_level=None)) as lock:
        report = run(site, fail_and_let_others_write)
        lock.execute("ROLLBACK")

    assert isinstance(report, Deferral)
    assert report.code == "busy"
    assert inbox_rows(site.path) == []


def test_a_shard_whose_file_is_missing_is_away(site: Site) -> None:
    """No row is written, no attempt is counted, and no empty file takes its place."""
    site.lose_shard("eu1")

    assert run(site) == Away()
    assert not (site.path / "eu1.db").exists()


def test_an_inbox_that_is_broken_is_away_with_an_alarm(site: Site) -> None:
    """Its shard's parts wait until somebody repairs it."""
    with closing(sqlite3.connect(site.path / "eu1.db")) as connection:
        connection.execute("DROP TABLE shardworker_inbox")
    with capture_logs() as lines:
        report = run(site)

    assert report == Away()
    assert orders(site.path) == []
    assert [(line["event"], line["log_level"], line["shard"]) for line in lines] == [
        ("inbox.fault", "error", "eu1")
    ]
