"""What a soak leaves when each job has ended in its first way: facts without a fault, to plant faults in."""

import json
from collections.abc import Sequence
from typing import Any

from tests.soak.case import Case, Ending, PartEnding
from tests.soak.cast import HOMES
from tests.soak.facts import Facts, InboxFact


def ideal_facts(cases: Sequence[Case]) -> Facts:
    """The facts in which an audit finds nothing."""
    facts = Facts()
    for case in cases:
        ending = case.endings[0]
        facts.rows.update(ending.rows)
        facts.letters.update(ending.letters)
        if case.job_id is not None:
            parts = () if ending.is_dry else ending.parts
            facts.inbox += [_inbox_fact(case.job_id, part) for part in parts]
            facts.note_results([json.dumps(_final(case.job_id, ending))] * len(case.bodies))
    return facts


def _final(job_id: str, ending: Ending) -> dict[str, Any]:
    error = {} if ending.code is None else {"error": {"code": ending.code}}
    entries = [_entry(part) for part in ending.parts]
    return {"job_id": job_id, "run": 1, "status": ending.status, "customers": entries, **error}


def _inbox_fact(job_id: str, part: PartEnding) -> InboxFact:
    state = "failed" if part.code else "succeeded"
    return InboxFact(HOMES[part.customer_id], job_id, part.customer_id, state, json.dumps(_entry(part)))


def _entry(part: PartEnding) -> dict[str, Any]:
    if part.code is not None:
        return {"customer_id": part.customer_id, "status": "failed", "error": {"code": part.code}}
    result = {"inserted": part.inserted}
    return {"customer_id": part.customer_id, "status": "succeeded", "result": result}
