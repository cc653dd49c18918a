"""The audit: each job that was submitted is compared with shards, inboxes, results and failure queue."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from tests.soak.case import Case, Ending, Letter, PartEnding, RowKey
from tests.soak.cast import HOMES
from tests.soak.facts import Facts, InboxFact, without_times

Offence = Literal["lost", "doubled", "unanswered", "misrouted", "wrong", "contradictions", "unburied"]

OFFENCES: Final[Mapping[Offence, str]] = {
    "lost": "a part that should have been done has not all of its rows, or none in the inbox",
    "doubled": "a row of a part stands in its table more than once",
    "unanswered": "no final result came",
    "misrouted": "a row, or an inbox row, is with another customer or on another shard than asked for",
    "wrong": "it ended in another way than it should, or something came of what should do nothing",
    "contradictions": "two finals of a job differ, or a final and the inbox",
    "unburied": "a message that belongs on the failure queue is not there",
}


class Finding(NamedTuple):
    """Something that is not as it should be; `about` is the job, or the message, and `what` tells of it."""

    offence: Offence
    about: str
    what: str


@dataclass
class _Found:
    """What was found of one job."""

    rows: Counter[RowKey] = field(default_factory=Counter)
    inbox: list[InboxFact] = field(default_factory=list)
    letters: set[Letter] = field(default_factory=set)


def audit(cases: Sequence[Case], facts: Facts) -> list[Finding]:
    """All that is wrong; nothing, if each job ended in one of the ways in which it may."""
    found = _by_case(cases, facts)
    findings = [
        finding for case in cases for finding in _judge(case, found.pop(_name(case), _Found()), facts)
    ]
    known = {case.job_id for case in cases}
    strangers = [
        Finding("wrong", str(job_id), "a result for a job that nobody sent")
        for job_id in facts.finals.keys() - known
    ]
    return [*findings, *_of_nobody(found), *sorted(strangers)]


def counts(findings: Iterable[Finding]) -> dict[Offence, int]:
    """How many jobs' parts were found guilty of what."""
    found = Counter(finding.offence for finding in findings)
    return {offence: found[offence] for offence in OFFENCES}


def _name(case: Case) -> str:
    return case.job_id or case.bodies[0]


def _by_case(cases: Sequence[Case], facts: Facts) -> dict[str, _Found]:
    found: defaultdict[str, _Found] = defaultdict(_Found)
    for key, count in facts.rows.items():
        found[key.job_id].rows[key] = count
    for row in facts.inbox:
        found[row.job_id].inbox.append(row)
    owners = {body: _name(case) for case in cases for body in case.bodies}
    for letter in facts.letters:
        found[owners.get(letter.body, letter.body)].letters.add(letter)
    return dict(found)


def _judge(case: Case, found: _Found, facts: Facts) -> list[Finding]:
    """The findings by the ending that explains most of what was found."""
    finals = facts.finals.get(case.job_id, []) if case.job_id else []
    judged = (list(_judge_by(case, ending, found, finals)) for ending in case.endings)
    return min(judged, key=len)


def _judge_by(
    case: Case, ending: Ending, found: _Found, finals: Sequence[Mapping[str, Any]]
) -> Iterator[Finding]:
    about = f"{_name(case)} ({case.kind})"
    verdicts = (
        *_judge_rows(ending, found),
        *_judge_inbox(ending, found),
        *_judge_finals(ending, finals),
        *(() if ending.is_dry else _judge_agreement(found, finals)),
        *_judge_letters(ending, found),
    )
    # a part without its rows and without its inbox row is lost once
    for offence, what in dict.fromkeys(verdicts):
        yield Finding(offence, about, what)


Verdict = tuple[Offence, str]


def _judge_rows(ending: Ending, found: _Found) -> Iterator[Verdict]:
    missing = Counter(key for key in ending.rows if key not in found.rows)
    surplus = {key for key in found.rows if key not in ending.rows}
    for key in sorted(surplus):
        asked = [one for one in sorted(missing) if one.number == key.number]
        if asked:
            del missing[asked[0]]
        if asked or not _belongs(key, ending):
            yield "misrouted", _told_place(key.customer_id, key.shard)
        else:
            yield "wrong", f"customer {key.customer_id} has a row of a part that should leave none"
    for key in sorted(missing):
        yield "lost", _told_part(key.customer_id)
    for customer in sorted({key.customer_id for key, count in found.rows.items() if count > 1}):
        yield "doubled", f"rows of customer {customer} stand in their table more than once"


def _belongs(key: RowKey, ending: Ending) -> bool:
    named = {part.customer_id for part in ending.parts}
    return HOMES.get(key.customer_id) == key.shard and key.customer_id in named


def _judge_inbox(ending: Ending, found: _Found) -> Iterator[Verdict]:
    parts = () if ending.is_dry else ending.parts
    expected = {(HOMES[part.customer_id], part.customer_id): part for part in parts}
    there = {(row.shard, row.customer_id): row for row in found.inbox}
    for place in sorted(there.keys() - expected.keys()):
        yield "misrouted", _told_place(place[1], place[0])
    for place, part in expected.items():
        if place not in there:
            if not any(customer == place[1] for _, customer in there):
                yield "lost", _told_part(place[1])
        elif not _ended_as(there[place], part):
            yield "wrong", f"the inbox has customer {place[1]} as {there[place].state}"


def _ended_as(row: InboxFact, part: PartEnding) -> bool:
    if row.outcome is None:
        return False
    return row.state == ("failed" if part.code else "succeeded") and _part_of(json.loads(row.outcome)) == part


def _part_of(entry: Mapping[str, Any]) -> PartEnding:
    result, error = entry.get("result"), entry.get("error")
    inserted = result.get("inserted") if isinstance(result, dict) else None
    return PartEnding(entry["customer_id"], inserted, error["code"] if error else None)


def _judge_finals(ending: Ending, finals: Sequence[Mapping[str, Any]]) -> Iterator[Verdict]:
    if ending.status is None:
        if finals:
            yield "wrong", "a result came for a message that must not be answered"
    elif not finals:
        yield "unanswered", "no final result came"
    else:
        first = finals[0]
        told = (
            first["status"],
            (first.get("error") or {}).get("code"),
            tuple(map(_part_of, first["customers"])),
        )
        if told != (ending.status, ending.code, ending.parts):
            yield "wrong", f"the final result tells {_short(told)}"


def _judge_agreement(found: _Found, finals: Sequence[Mapping[str, Any]]) -> Iterator[Verdict]:
    if any(without_times(dict(final)) != without_times(dict(finals[0])) for final in finals[1:]):
        yield "contradictions", "final results differ"
    kept = {row.customer_id: json.loads(row.outcome) for row in found.inbox if row.outcome}
    entries = finals[0]["customers"] if finals else ()
    if any(kept.get(entry["customer_id"], entry) != entry for entry in entries):
        yield "contradictions", "a final result differs from the inbox"


def _judge_letters(ending: Ending, found: _Found) -> Iterator[Verdict]:
    for letter in sorted(ending.letters - found.letters):
        yield "unburied", f"no dead letter with {letter.code}"
    for letter in sorted(found.letters - ending.letters):
        yield "wrong", f"a dead letter with {letter.code}"


def _of_nobody(found: Mapping[str, _Found]) -> Iterator[Finding]:
    for about, left in found.items():
        for key in left.rows:
            yield Finding(
                "misrouted", about, f"a row of nobody's job: {_told_place(key.customer_id, key.shard)}"
            )
        for row in left.inbox:
            yield Finding("misrouted", about, f"an inbox row of nobody's job on {row.shard}")
        for letter in left.letters:
            yield Finding("wrong", about, f"a dead letter of nobody's message, {letter.code}")


def _told_place(customer: str, shard: str) -> str:
    return f"customer {customer} has something on {shard} that was not asked for there"


def _told_part(customer: str) -> str:
    return f"the part of customer {customer} is not done, or not whole"


def _short(told: object) -> str:
    text = str(told)
    return text if len(text) <= 300 else f"{text[:300]}…"
