"""The demo's stream and its proof: a proof that could not fail would prove nothing."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from msgspec import UNSET

from config.headers import OwnHeader
from config.result import CustomerResult, Result, error_of
from shards.sample import RowKey
from worker.demo.desk import Desk
from worker.demo.findings import DeadLetter, Findings
from worker.demo.proof import Verdict, expected_rows, prove
from worker.demo.report import print_verdicts
from worker.demo.stream import KINDS, Sent, make_stream

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> list[Sent]:
    """The demo's messages."""
    return make_stream(Desk(tmp_path_factory.mktemp("bucket")))


@pytest.fixture
def findings(stream: list[Sent]) -> Findings:
    """What a worker leaves that made no mistake."""
    return Findings(
        rows={"only": expected_rows(stream)},
        results={sent.answered_as: [result_of(sent)] for sent in stream if sent.answered_as},
        dead_letters=[
            DeadLetter(str(number), sent.body, OwnHeader(code=sent.kind.code))
            for number, sent in enumerate(stream)
            if sent.kind.dead_letter
        ],
    )


def test_the_demo_sends_500_messages() -> None:
    """The table of kinds adds up."""
    assert sum(kind.jobs * kind.copies for kind in KINDS) == 500


def test_the_stream_is_the_same_in_every_run(tmp_path: Path) -> None:
    """Two desks at one bucket write the same messages, in the same order."""
    assert make_stream(Desk(tmp_path)) == make_stream(Desk(tmp_path))


def test_no_two_jobs_expect_the_same_row(stream: list[Sent]) -> None:
    """A row that two jobs bring would hide that one of them did not."""
    by_job = {sent.body: sent.rows for sent in stream if sent.rows}

    assert set(Counter(key for rows in by_job.values() for key in rows).values()) == {1}


def test_the_first_job_comes_first_and_its_impostor_last(stream: list[Sent]) -> None:
    """The other content under the first job's id must meet a job that is known already."""
    assert [stream[0].kind, stream[-1].kind] == [KINDS[0], KINDS[-1]]


def test_what_should_be_is_proved(stream: list[Sent], findings: Findings) -> None:
    """A run without a mistake has no fault."""
    assert faults(stream, findings) == ()


def test_a_row_too_few_and_a_row_twice_are_found_though_their_sum_is_right(
    stream: list[Sent], findings: Findings
) -> None:
    """Rows are compared by their keys: one lost and one doubled do not make up for each other."""
    rows = findings.rows["only"]
    lost, doubled = min(rows), max(rows)
    found = rows - Counter([lost]) + Counter([doubled])

    assert found.total() == rows.total()
    assert faults(stream, findings._replace(rows={"only": found})) == (
        f"customer {lost.customer_id} lacks 1 rows and has 0 that it should not have",
        f"customer {doubled.customer_id} lacks 0 rows and has 1 that it should not have",
    )


def test_a_row_at_the_wrong_customer_is_found(stream: list[Sent], findings: Findings) -> None:
    """The customer is part of a row's key."""
    rows = findings.rows["only"]
    strayed = RowKey("c-1002", 1_000_000)

    assert len(faults(stream, findings._replace(rows={"only": rows + Counter([strayed])}))) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda _: [], "has no answer"),
        (lambda results: [msgspec.structs.replace(results[0], status="failed")], "is failed"),
        (
            lambda results: [msgspec.structs.replace(results[0], dry_run=True)],
            "should not be answered as a dry",
        ),
        (lambda results: [*results, msgspec.structs.replace(results[0], run=2)], "answers that differ"),
    ],
)
def test_an_answer_that_is_missing_wrong_or_unlike_its_copy_is_found(
    stream: list[Sent],
    findings: Findings,
    change: Callable[[list[Result]], list[Result]],
    told: str,
) -> None:
    """Each job's answer has the status and code that its message was sent for, in every copy."""
    job_id = stream[0].answered_as or ""
    changed = {**findings.results, job_id: change(findings.results[job_id])}
    found = faults(stream, findings._replace(results=changed))

    assert len(found) == 1
    assert told in found[0]


def test_rows_of_a_dry_run_are_found(stream: list[Sent], findings: Findings) -> None:
    """Nothing that a job only asked about may stand in the tables."""
    (asked, *_) = [sent for sent in stream if sent.is_dry_run]
    job = json.loads(asked.body)
    (order, *_) = job["payload"]["rows"]
    (customer,) = job["customers"]
    rows = {**findings.rows, "one": Counter([RowKey(customer, order["order_no"], 0)])}

    assert asked.rows == ()
    assert faults(stream, findings._replace(rows=rows)) == (
        f"customer {customer} lacks 0 rows and has 1 that it should not have",
    )


def test_an_answer_to_nobody_is_found(stream: list[Sent], findings: Findings) -> None:
    """Messages that must not be answered are expected to have no result."""
    surplus = {**findings.results, "demo-9999": findings.results["demo-0001"]}

    assert faults(stream, findings._replace(results=surplus)) == (
        "demo-9999 has an answer and should have none",
    )


def test_copies_may_differ_in_their_times(stream: list[Sent], findings: Findings) -> None:
    """The same job's answers are the same but for when it was received and finished."""
    first = findings.results["demo-0001"][0]
    later = msgspec.structs.replace(first, finished_at=datetime(2026, 11, 22, tzinfo=UTC))
    results = {**findings.results, "demo-0001": [first, later]}

    assert faults(stream, findings._replace(results=results)) == ()


def test_a_dead_letter_that_is_missing_or_has_another_code_is_found(
    stream: list[Sent], findings: Findings
) -> None:
    """Each bad message stands on the failure queue with its original body and its own code."""
    first, second, *others = findings.dead_letters
    changed = [second._replace(header=OwnHeader(code="expired_yesterday")), *others]
    found = faults(stream, findings._replace(dead_letters=changed))

    assert len(found) == 3
    assert str(first.header.code) in found[0] + found[1]


def test_a_proof_that_fails_is_told_in_its_own_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The verdict is false if one proof fails, and its first faults are named."""
    proved = print_verdicts([Verdict("Rows", ()), Verdict("Answers", ("a", "b", "c", "d", "e"))])

    assert not proved
    assert capsys.readouterr().out == "PROVED  Rows.\nPROOF FAILED  Answers: a; b; c; and 2 more.\n"


def result_of(sent: Sent) -> Result:
    """The result that the message has to get."""
    kind = sent.kind
    error = error_of(kind.code or "none", "")
    good = [CustomerResult(customer_id="c-1001", status="succeeded", result={})]
    bad = [CustomerResult(customer_id="c-1002", status="failed", error=error)]
    customers = {"succeeded": good, "partial": good + bad, "failed": bad, "rejected": []}
    assert kind.answer is not None
    return Result(
        job_id=sent.answered_as or "",
        run=1,
        type=None,
        partner_id="acme",
        correlation_id=None,
        dry_run=sent.is_dry_run,
        status=kind.answer,
        customers=tuple(customers[kind.answer]),
        received_at=NOW,
        finished_at=NOW,
        error=error if kind.answer == "rejected" else UNSET,
    )


def faults(stream: list[Sent], findings: Findings) -> tuple[str, ...]:
    """Every fault that the proof finds."""
    return tuple(fault for verdict in prove(stream, findings) for fault in verdict.faults)
