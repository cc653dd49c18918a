"""The proof: what was found is compared with what each message was sent for, piece by piece."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from config.result import Result
from shards.sample import RowKey
from worker.demo.cast import CUSTOMERS
from worker.demo.desk import EARLIER_ORDERS
from worker.demo.findings import Findings, code_of
from worker.demo.stream import Sent

FAULTS_TOLD_MAXIMUM: Final = 3


class Verdict(NamedTuple):
    """What was counted and expected, and each fault that was found; without one, the proof holds."""

    statement: str
    faults: tuple[str, ...]


def prove(stream: Sequence[Sent], findings: Findings) -> tuple[Verdict, ...]:
    """The verdicts on rows, answers and dead letters."""
    return (
        _prove_rows(stream, findings),
        _prove_answers(stream, findings),
        _prove_dead_letters(stream, findings),
    )


def told(verdict: Verdict) -> str:
    """The verdict as a line: its statement, and the first of its faults."""
    shown = list(islice(verdict.faults, FAULTS_TOLD_MAXIMUM))
    more = len(verdict.faults) - len(shown)
    faults = "; ".join([*shown, f"and {more:,} more"] if more else shown)
    return f"{verdict.statement}: {faults}" if faults else verdict.statement


def expected_rows(stream: Sequence[Sent]) -> Counter[RowKey]:
    """Every row that has to stand in the customers' tables: once, however often its job was delivered."""
    return Counter({key for sent in stream for key in sent.rows}) + Counter(EARLIER_ORDERS)


def _prove_rows(stream: Sequence[Sent], findings: Findings) -> Verdict:
    expected, found = expected_rows(stream), sum(findings.rows.values(), Counter[RowKey]())
    statement = (
        f"Rows: {_compared(found.total(), expected.total())}, "
        f"compared key by key for each of {len(CUSTOMERS)} customers"
    )
    return Verdict(statement, tuple(_row_faults(expected, found)))


def _row_faults(expected: Counter[RowKey], found: Counter[RowKey]) -> Iterable[str]:
    missing, surplus = expected - found, found - expected
    for customer in sorted({key.customer_id for key in missing + surplus}):
        lacks = sum(count for key, count in missing.items() if key.customer_id == customer)
        has = sum(count for key, count in surplus.items() if key.customer_id == customer)
        yield f"customer {customer} lacks {lacks:,} rows and has {has:,} that it should not have"


def _prove_answers(stream: Sequence[Sent], findings: Findings) -> Verdict:
    expected = {sent.answered_as: sent for sent in stream if sent.answered_as is not None}
    found = findings.results
    statement = (
        f"Answers: {_compared(len(found), len(expected))}, "
        "compared by status, code and dry run, and copies' answers in all but their times"
    )
    faults = [
        *(
            f"{job_id} has an answer and should have none"
            for job_id in sorted(found.keys() - expected.keys())
        ),
        *(fault for job_id, sent in expected.items() if (fault := _answer_fault(job_id, sent, findings))),
    ]
    return Verdict(statement, tuple(faults))


def _answer_fault(job_id: str | None, sent: Sent, findings: Findings) -> str | None:
    results = findings.results.get(job_id or "", [])
    who = f"{job_id} ({sent.kind.name})"
    if not results:
        return f"{who} has no answer"
    if any(_without_times(result) != _without_times(results[0]) for result in results):
        return f"{who} has answers that differ"
    if results[0].dry_run is not sent.is_dry_run:
        return f"{who} should {'' if sent.is_dry_run else 'not '}be answered as a dry run"
    wanted, got = (sent.kind.answer, sent.kind.code), (results[0].status, code_of(results[0]))
    return None if wanted == got else f"{who} should be {_ending(*wanted)} and is {_ending(*got)}"


def _prove_dead_letters(stream: Sequence[Sent], findings: Findings) -> Verdict:
    expected = Counter((sent.body, sent.kind.code) for sent in stream if sent.kind.dead_letter)
    found = Counter((letter.body, letter.header.code) for letter in findings.dead_letters)
    names = {sent.body: sent.kind.name for sent in stream}
    statement = (
        f"Dead letters: {_compared(found.total(), expected.total())}, compared by original body and code"
    )
    faults = [
        *(f"{code} for “{names[body]}” is missing" for body, code in expected - found),
        *(
            f"{code} for “{names.get(body, 'a message of nobody')}” is one too many"
            for body, code in found - expected
        ),
    ]
    return Verdict(statement, tuple(faults))


def _compared(found: int, expected: int) -> str:
    return f"{found:,} found {'=' if found == expected else '≠'} {expected:,} expected"


def _without_times(result: Result) -> Result:
    return msgspec.structs.replace(result, received_at=None, finished_at=None)


def _ending(status: str | None, code: str | None) -> str:
    return f"{status} with {code}" if code else f"{status}"
