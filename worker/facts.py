"""The facts of a job for its canonical log line: one line per delivery, the same fields each time."""

from dataclasses import dataclass
from typing import Any

from worker.clock import Clock
from worker.conclusion import Answer, Bury, Conclusion, Discard, Return
from worker.envelope import Identity
from worker.held import Held
from worker.job_in_hand import Part
from worker.trace import trace_of


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a job when it is concluded; of an unreadable message, nothing but its delivery."""

    identity: Identity | None = None
    parts: tuple[Part, ...] = ()

    def fields(self) -> dict[str, Any]:
        """The fields of the canonical line that do not depend on the delivery."""
        shards = {part.placement.shard for part in self.parts if part.placement is not None}
        fields: dict[str, Any] = {
            "shards": sorted(shards),
            "lane_wait_ms": _milliseconds(max((part.lane_wait_seconds for part in self.parts), default=0.0)),
            "database_ms": _milliseconds(sum(part.database_seconds for part in self.parts)),
        }
        if self.identity is not None:
            fields |= {
                "job": self.identity.job_id,
                "run": self.identity.run,
                "partner": self.identity.partner_id,
                "type": self.identity.job_type,
                "customers": len(self.identity.customer_ids),
                **({"dry_run": True} if self.identity.dry_run else {}),
            }
        return fields


def canonical_line(
    held: Held, conclusion: Conclusion, facts: Facts, clock: Clock, *, resent: bool = False
) -> tuple[str, dict[str, Any]]:
    """The event and the fields of one delivery's line; `resent`: a copy of the message waits in its place."""
    event, outcome, code, attempt = _ending(conclusion)
    now = clock.monotonic()
    delivery = held.delivery
    trace = trace_of(delivery)
    queue_wait_seconds = (held.received_at - delivery.sent_at).total_seconds()
    prepared_at = now if held.prepared_at is None else held.prepared_at
    return event, {
        **facts.fields(),
        "outcome": "resent" if resent else outcome,
        "error_code": code,
        "attempt": attempt,
        "queue": held.source.name,
        "message_id": delivery.message_id,
        "receive_count": delivery.receive_count,
        "copy": held.copied,
        "lease_lost": held.lost.is_set(),
        "queue_wait_ms": _milliseconds(max(queue_wait_seconds, 0.0)),
        "prepare_ms": _milliseconds(prepared_at - held.started_at),
        "total_ms": _milliseconds(now - held.started_at),
        "sqs_requests": round(held.sqs_requests, 2),
        "s3_requests": held.s3_requests,
        **_delay(conclusion),
        **({} if trace is None else {"trace_id": trace.trace_id}),
    }


def _delay(conclusion: Conclusion) -> dict[str, float]:
    if isinstance(conclusion, Return):
        return {"delay_ms": _milliseconds(conclusion.after.total_seconds())}
    return {}


def _ending(conclusion: Conclusion) -> tuple[str, str, str | None, int]:
    match conclusion:
        case Answer(status, _, None, code):
            return "job.done", status, code, 0
        case Answer(status, _, reason) if reason is not None:
            return "job.dead_lettered", status, reason.code, reason.attempt
        case Bury(reason):
            return "job.dead_lettered", "unanswered", reason.code, reason.attempt
        case Discard(code):
            return "job.done", "discarded", code, 0
        case _:
            return "job.released", "released", conclusion.code, conclusion.attempt  # type: ignore[union-attr]


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
