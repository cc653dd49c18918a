"""The executor: each kind of failure leads to its report and its inbox row, on a real SQLite shard."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from config.result import ErrorDetail, error_of
from handlers.contract import PartContext, Reject, Retry
from shards import failure_codes
from shards.failures import KnownFailure, failure_of
from shards.inbox import ContentConflict, InboxState, Outcome, Superseded
from shards.parts import StartedBefore
from tests.support.core import Handler, Site, insert_order
from tests.support.jobs import inbox_rows, job_fields, orders
from worker.conclusion import Answer, Deferral
from worker.executor import Away, Ended, Report
from worker.job_in_hand import Part
from worker.middleware import Middleware, Next
from worker.tasks import PartTask


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Expected errors are not printed with their stacks, which takes a second each."""
    with capture_logs():
        yield


def part_of(site: Site, *, receive_count: int = 1, **fields: Any) -> Part:
    """A part in its lane; the job comes as the given receive."""
    site.take(job_fields(**fields), receive_count=receive_count)
    (_, task) = site.tasks.pop(0)
    assert isinstance(task, PartTask)
    return task._part


def run(site: Site, handler: Handler = insert_order, **fields: Any) -> Report:
    """The report of one delivery's part."""
    site.handler = handler
    part = part_of(site, **fields)
    report = site.executor.run(part)
    part.owner.part_deferred(Deferral(timedelta(), "the test has its report"))
    return report


def raising(error: BaseException) -> Handler:
    """A handler that writes an order and then fails."""

    def handler(payload: Any, context: PartContext) -> Any:
        insert_order(payload, context)
        raise error

    return handler


class TransactionLost(KnownFailure):
    """What a database's deadlock amounts to."""

    def __init__(self) -> None:
        super().__init__(failure_of(failure_codes.CONFLICT))


def executing(statement: str) -> Handler:
    def handler(_payload: Any, context: PartContext) -> Any:
        context.connection.execute(text(statement))

    return handler


def the_row(site: Site) -> dict[str, Any]:
    (row,) = inbox_rows(site.path)
    return row


def code_of(report: Report) -> str:
    """The code of a failed outcome."""
    assert isinstance(report, Ended)
    assert report.outcome.state == "failed"
    return str(msgspec.json.decode(report.outcome.body)["error"]["code"])


@contextmanager
def locked(site: Site, shard: str = "eu1") -> Iterator[None]:
    """Another process writes to the shard."""
    with closing(sqlite3.connect(site.path / f"{shard}.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


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


SUSPECT: dict[str, Any] = {"receive_count": 5}


def test_the_start_of_a_suspect_part_is_recorded_before_it_runs(site: Site) -> None:
    """So that a handler that kills its process is found out."""
    seen: list[Any] = []

    def handler(payload: Any, context: PartContext) -> Any:
        seen.extend(inbox_rows(site.path))
        return insert_order(payload, context)

    run(site, handler, **SUSPECT)

    assert [(row["state"], row["starts"]) for row in seen] == [("open", 1)]
    assert (the_row(site)["state"], orders(site.path)) == ("succeeded", [1])


class Killed(BaseException):
    """Stands for the end of the process: nothing after it runs."""


def test_a_part_that_killed_its_process_three_times_is_failed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fourth delivery finds three starts without an end: recorded, dead-lettered, not run."""

    def killed(*_: object) -> None:
        raise Killed

    def reported(_executor: object, _part: Part, action: Callable[[], Report]) -> object:
        try:
            return action()
        except StartedBefore as verdict:
            return verdict

    with monkeypatch.context() as patched:
        patched.setattr("worker.executor.Executor._take_back_unless_ended", killed)
        patched.setattr("worker.executor.Executor._reported", reported)
        for _ in range(3):
            with pytest.raises(Killed):
                site.executor.run(part_of(site, **SUSPECT))
            site.intake.jobs()[0].part_deferred(Deferral(timedelta(), "killed"))
    report = run(site, lambda *_: pytest.fail("it was run"), **SUSPECT)

    assert code_of(report) == "worker_killed"
    assert isinstance(report, Ended)
    assert (report.outcome.dead_letter, orders(site.path)) == (True, [])


@pytest.mark.parametrize("error", [LookupError(), Retry(), Reject("own_code", "No.")])
def test_a_start_that_came_to_an_end_does_not_count(site: Site, error: Exception) -> None:
    """A failure is an end."""
    run(site, raising(error), **SUSPECT)

    assert the_row(site)["starts"] == (0 if the_row(site)["state"] == "open" else 1)


def test_a_start_is_taken_back_when_the_shard_is_busy_or_away(site: Site) -> None:
    """However often: waiting is no killing."""

    def lock_wait(_payload: Any, context: PartContext) -> Any:
        context.connection.exec_driver_sql("ROLLBACK")
        with locked(site):
            context.connection.exec_driver_sql("BEGIN IMMEDIATE")

    for _ in range(5):
        report = run(site, lock_wait, **SUSPECT)
        assert isinstance(report, Deferral)
        assert report.code == "busy"
        assert the_row(site)["starts"] == 0

    assert isinstance(run(site, **SUSPECT), Ended)


def test_a_start_that_could_not_be_taken_back_does_not_count_twice(site: Site) -> None:
    """The shard went away during the part: the probes that follow are the same start."""

    def lose(_payload: Any, _context: PartContext) -> Any:
        (site.path / "eu1.db").rename(site.path / "elsewhere")
        site.shards.get("eu1").close()
        raise sqlite_error()

    part = part_of(site, **SUSPECT)
    site.handler = lose
    for _ in range(5):
        assert site.executor.run(part) == Away()
        (site.path / "elsewhere").rename(site.path / "eu1.db")
        site.shards.get("eu1").close()
    site.handler = insert_order

    assert isinstance(site.executor.run(part), Ended)
    assert the_row(site)["state"] == "succeeded"


def sqlite_error() -> sqlite3.OperationalError:
    """The driver's error of a database file that cannot be opened."""
    error = sqlite3.OperationalError("unable to open database file")
    error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
    error.sqlite_errorname = "SQLITE_CANTOPEN"
    return error


def test_a_part_that_may_have_killed_its_process_waits_until_it_can_be_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start of it came to no end: while others run it is deferred, not counted and not started."""
    monkeypatch.setattr("worker.executor.ALONE_PATIENCE_SECONDS", 0.0)
    part = part_of(site, **SUSPECT)
    site.executor._store(part).count_start(part.identity, 3, b"")
    with site.executor._gate.together():
        report = site.executor.run(part)

    assert report == Deferral(timedelta(seconds=2.5), "busy")
    assert (the_row(site)["starts"], orders(site.path)) == (1, [])
    assert isinstance(site.executor.run(part), Ended)


def test_a_part_that_was_only_received_often_keeps_nobody_waiting(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shard was away or is locked: for that the rest of the process does not stand still."""
    monkeypatch.setattr(site.executor._gate, "alone", lambda _: pytest.fail("it wanted to be alone"))
    with site.executor._gate.together():
        with locked(site):
            assert isinstance(run(site, **SUSPECT), Deferral)
        assert isinstance(run(site, **SUSPECT), Ended)


class Noting(Middleware):
    """Notes when it is entered and left."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self._name, self._notes = name, notes

    def __call__(self, envelope: Part, next: Next) -> Outcome:  # noqa: A002 - the protocol's word
        """Note, go on, note."""
        self._notes.append(f"{self._name} {envelope.request.customer_id}")
        outcome = next(envelope)
        self._notes.append(f"{self._name} after")
        return outcome


def test_middleware_wraps_the_transaction_in_the_order_of_the_configuration(tmp_path: Path) -> None:
    """The first is the outermost; the transaction begins and is committed inside all of them."""
    notes: list[str] = []

    def outcome_is_committed(envelope: Part, next: Next) -> Outcome:  # noqa: A002 - the protocol's word
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
    def middleware(envelope: Part, next: Next) -> Outcome:  # noqa: A002, ARG001 - the protocol's words
        raise error

    return middleware


@pytest.mark.parametrize(
    ("error", "state"), [(Reject("own_code", "No."), "failed"), (Retry(), "open"), (LookupError(), "open")]
)
def test_what_middleware_raises_ends_the_part_as_if_the_handler_had(
    tmp_path: Path, error: Exception, state: str
) -> None:
    """The handler is not called."""
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


def test_waits_are_spread_by_chance_within_their_bounds(site: Site) -> None:
    """Many that wait for the same shard do not come back together."""
    delays = []
    for chance in (0.0, 0.999):
        site.time.chance = chance
        delays.append([site.executor.away_delay(receives) for receives in (1, 3, 30)])

    assert delays[0] == [timedelta(seconds=0.5), timedelta(seconds=2), timedelta(minutes=2.5)]
    assert all(low < high for low, high in zip(*delays, strict=True))


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
