"""The audit of a soak is able to fail: it finds what is planted in facts without a fault, nothing else."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.soak.audit import Finding, audit, counts
from tests.soak.bad_jobs import killer
from tests.soak.case import Letter, RowKey
from tests.soak.cast import CUSTOMERS, HOMES, SHARDS
from tests.soak.chance import chance_of
from tests.soak.desk import Desk
from tests.soak.facts import Facts, InboxFact
from tests.soak.ideal import ideal_facts
from tests.soak.kinds import WEIGHTS

CASES = [
    kind(Desk(number, chance_of(7, number)))
    for number, kind in enumerate(kind for kind in (*WEIGHTS, killer) for _ in range(4))
]
BY_JOB = {case.job_id: case for case in CASES}
Draw = st.DataObject
Plant = Callable[[Facts, Draw], str]


def drawn_row(facts: Facts, draw: Draw) -> RowKey:
    return draw.draw(st.sampled_from(sorted(facts.rows)))


def drawn_inbox_row(facts: Facts, draw: Draw) -> InboxFact:
    return draw.draw(st.sampled_from(facts.inbox))


def drawn_job(facts: Facts, draw: Draw) -> str:
    return draw.draw(st.sampled_from(sorted(facts.finals)))


def drawn_wet_job(facts: Facts, draw: Draw) -> str:
    """A job that is no dry run: its answers are all the same."""
    return draw.draw(st.sampled_from([job for job in facts.finals if not BY_JOB[job].endings[0].is_dry]))


def another_shard(shard: str, draw: Draw) -> str:
    return draw.draw(st.sampled_from(sorted(set(SHARDS) - {shard})))


def lost_row(facts: Facts, draw: Draw) -> str:
    key = drawn_row(facts, draw)
    del facts.rows[key]
    return key.job_id


def lost_inbox_row(facts: Facts, draw: Draw) -> str:
    row = drawn_inbox_row(facts, draw)
    facts.inbox.remove(row)
    return row.job_id


def lost_part(facts: Facts, draw: Draw) -> str:
    row = drawn_inbox_row(facts, draw)
    facts.inbox.remove(row)
    for key in [key for key in facts.rows if (key.job_id, key.customer_id) == (row.job_id, row.customer_id)]:
        del facts.rows[key]
    return row.job_id


def doubled_row(facts: Facts, draw: Draw) -> str:
    key = drawn_row(facts, draw)
    facts.rows[key] += draw.draw(st.integers(1, 3))
    return key.job_id


def row_on_another_shard(facts: Facts, draw: Draw) -> str:
    key = drawn_row(facts, draw)
    del facts.rows[key]
    facts.rows[key._replace(shard=another_shard(key.shard, draw))] = 1
    return key.job_id


def row_of_another_customer(facts: Facts, draw: Draw) -> str:
    key = drawn_row(facts, draw)
    case = BY_JOB[key.job_id]
    named = {part.customer_id for part in case.endings[0].parts}
    del facts.rows[key]
    other = draw.draw(st.sampled_from(sorted(set(CUSTOMERS) - named)))
    facts.rows[key._replace(customer_id=other)] = 1
    return key.job_id


def copy_on_another_shard(facts: Facts, draw: Draw) -> str:
    key = drawn_row(facts, draw)
    facts.rows[key._replace(shard=another_shard(key.shard, draw))] = 1
    return key.job_id


def inbox_row_on_another_shard(facts: Facts, draw: Draw) -> str:
    row = drawn_inbox_row(facts, draw)
    facts.inbox.remove(row)
    facts.inbox.append(row._replace(shard=another_shard(row.shard, draw)))
    return row.job_id


def row_of_nobody(facts: Facts, draw: Draw) -> str:
    key = drawn_row(facts, draw)._replace(job_id="nobody")
    facts.rows[key] = 1
    return key.job_id


def missing_answer(facts: Facts, draw: Draw) -> str:
    job_id = drawn_job(facts, draw)
    del facts.finals[job_id]
    return job_id


def other_status(facts: Facts, draw: Draw) -> str:
    job_id = drawn_job(facts, draw)
    for final in facts.finals[job_id]:
        final["status"] = "partial" if final["status"] == "succeeded" else "succeeded"
    return job_id


def failure_in_place_of_success(facts: Facts, draw: Draw) -> str:
    position = draw.draw(st.integers(0, len(facts.inbox) - 1))
    row = facts.inbox[position]
    facts.inbox[position] = row._replace(state="open", outcome=None)
    return row.job_id


def row_of_a_failed_part(facts: Facts, draw: Draw) -> str:
    failed = [row for row in facts.inbox if row.state == "failed"]
    row = draw.draw(st.sampled_from(failed))
    # a number that no row of the job has
    facts.rows[RowKey(row.shard, row.customer_id, row.job_id, 999)] = 1
    return row.job_id


def row_of_a_dry_run(facts: Facts, draw: Draw) -> str:
    part, job_id = draw.draw(
        st.sampled_from(
            [
                (part, case.job_id)
                for case in CASES
                if case.endings[0].is_dry
                for part in case.endings[0].parts
            ]
        )
    )
    assert job_id is not None
    facts.rows[RowKey(HOMES[part.customer_id], part.customer_id, job_id, 1)] = 1
    return job_id


def answer_to_nobody(facts: Facts, draw: Draw) -> str:
    facts.finals["nobody"] = facts.finals[drawn_job(facts, draw)]
    return "nobody"


def letter_too_many(facts: Facts, draw: Draw) -> str:
    case = draw.draw(st.sampled_from(CASES))
    facts.letters[Letter(case.bodies[0], "handler_on_fire")] += 1
    return case.job_id or case.bodies[0]


def other_final(facts: Facts, draw: Draw) -> str:
    job_id = drawn_wet_job(facts, draw)
    facts.finals[job_id].append({**facts.finals[job_id][0], "status": "failed", "finished_at": "later"})
    facts.finals[job_id][-1]["error"] = {"code": "other"}
    return job_id


def missing_letter(facts: Facts, draw: Draw) -> str:
    letter = draw.draw(st.sampled_from(sorted(facts.letters)))
    del facts.letters[letter]
    return next(case.job_id or letter.body for case in CASES if letter.body in case.bodies)


PLANTS: dict[Plant, str] = {
    lost_row: "lost",
    lost_inbox_row: "lost",
    lost_part: "lost",
    doubled_row: "doubled",
    row_on_another_shard: "misrouted",
    row_of_another_customer: "misrouted",
    copy_on_another_shard: "misrouted",
    inbox_row_on_another_shard: "misrouted",
    row_of_nobody: "misrouted",
    missing_answer: "unanswered",
    other_status: "wrong",
    failure_in_place_of_success: "wrong",
    row_of_a_failed_part: "wrong",
    row_of_a_dry_run: "wrong",
    answer_to_nobody: "wrong",
    letter_too_many: "wrong",
    other_final: "contradictions",
    missing_letter: "unburied",
}


def test_facts_without_a_fault_are_clean() -> None:
    """The audit finds nothing where each job ended in one of the ways in which it may."""
    assert audit(CASES, ideal_facts(CASES)) == []


def test_the_second_of_two_contents_may_win() -> None:
    """Which of two contents under one id comes first is chance: both endings are right, a mixture is not."""
    contested = [case for case in CASES if case.kind == "two contents"]
    others = [case.__class__(case.kind, case.job_id, case.bodies, case.endings[::-1]) for case in contested]
    facts = ideal_facts(others)
    assert contested
    assert audit(contested, facts) == []
    facts.letters.update(ideal_facts(contested).letters)
    assert {finding.offence for finding in audit(contested, facts)} == {"wrong"}


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
@settings(max_examples=20)
@given(draw=st.data())
def test_what_is_planted_is_found_and_nothing_else(plant: Plant, draw: Draw) -> None:
    """Each fault, wherever it stands, is found as what it is and with the job that it is about."""
    facts = ideal_facts(CASES)
    about = plant(facts, draw)
    found = audit(CASES, facts)
    assert {finding.offence for finding in found} == {PLANTS[plant]}
    assert all(finding.about.startswith(about) for finding in found)


def test_findings_are_counted_by_offence() -> None:
    """The audit line's figures: one for each finding, none for what was not found."""
    found = [Finding("lost", "a", "1"), Finding("lost", "b", "1"), Finding("doubled", "c", "1")]
    expected = {"lost": 2, "doubled": 1}
    assert {offence: count for offence, count in counts(found).items() if count} == expected
