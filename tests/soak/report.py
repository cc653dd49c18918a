"""What a soak tells at its end: one audit line, and the first of what is wrong."""

from typing import Final

from tests.soak.audit import OFFENCES, counts
from tests.soak.plan import Plan
from tests.soak.run import Outcome

TOLD_MAXIMUM: Final = 10


def audit_line(plan: Plan, outcome: Outcome) -> str:
    """The audit in one line: how much was done, what went wrong on the way, and what came of it."""
    parts = sum(len(case.endings[0].parts) for case in plan.cases)
    did: dict[str, int] = {
        "seed": plan.seed,
        "jobs": len(plan.cases),
        "messages": len(plan.stream),
        "parts": parts,
        "rows": outcome.facts.rows.total(),
        "kills": outcome.ends.get("killed", 0),
        "database_restarts": outcome.events.get("database_restarts", 0),
        "outages": outcome.events.get("outages", 0),
        "cuts": outcome.events.get("cuts", 0),
        "stops": outcome.ends.get("left", 0),
        "pauses": outcome.events.get("pauses", 0),
        "queue_and_bucket_faults": sum(outcome.troubles.values()),
        "seconds": round(outcome.seconds),
        **{str(name): count for name, count in counts(outcome.findings).items()},
        "left": outcome.facts.left,
        "unexpected_exits": len(outcome.unexpected_ends),
    }
    return "AUDIT " + " ".join(f"{name}={value}" for name, value in did.items())


def is_clean(outcome: Outcome) -> bool:
    """Whether nothing at all is wrong."""
    return not (outcome.findings or outcome.hangs or outcome.unexpected_ends or outcome.facts.left)


def complaints(outcome: Outcome) -> list[str]:
    """The first findings, and what else is wrong, a line each."""
    lines = [f"{one.offence}: {one.about}: {one.what}" for one in outcome.findings[:TOLD_MAXIMUM]]
    more = len(outcome.findings) - len(lines)
    if more:
        lines.append(f"and {more:,} findings more")
    lines += [f"{name}: {meaning}" for name, meaning in OFFENCES.items() if counts(outcome.findings)[name]]
    return [*lines, *outcome.unexpected_ends, *([outcome.hangs] if outcome.hangs else [])]
