"""The line `worker.stats`: how the process stands, and what it did since the line before."""

from collections import Counter
from datetime import datetime
from typing import Any, Final

import structlog

from worker.assembly import Assembly
from worker.clock import Clock
from worker.metrics.emf import emf_metadata
from worker.metrics.state import State
from worker.metrics.tally import RELEASES, Counts

FAILED: Final = frozenset({"failed", "rejected", "unanswered"})

log = structlog.get_logger()


class StatsLine:
    """Writes a line at each `write`; with `emf` in the form of which CloudWatch makes metrics."""

    def __init__(self, assembly: Assembly, state: State, clock: Clock, *, emf: bool) -> None:
        self._assembly = assembly
        self._state = state
        self._clock = clock
        self._emf = emf
        self._written_at = clock.monotonic()
        self._counted: Counts = {}

    def write(self) -> None:
        """Write the line."""
        fields = {**self._standing(), **self._interval()}
        log.info("worker.stats", **fields, **self._metadata(fields, self._clock.now()))

    def _standing(self) -> dict[str, Any]:
        room, lanes = self._assembly.room, self._assembly.lanes
        away = lanes.away()
        return {
            "in_hand": room.taken,
            "settled": room.settled,
            "waiting": lanes.waiting(),
            "away": away,
            "away_count": len(away),
            "away_servers": lanes.away_servers(),
            "oldest_ms": round(self._state.oldest_seconds() * 1000),
        }

    def _interval(self) -> dict[str, Any]:
        before, counts = self._counted, self._assembly.tally.counts()
        since, now = self._written_at, self._clock.monotonic()
        self._counted, self._written_at = counts, now
        grown = {series: round(count - before.get(series, 0)) for series, count in counts.items()}
        return {"interval_ms": round((now - since) * 1000), **interval_fields(grown)}

    def _metadata(self, fields: dict[str, Any], at: datetime) -> dict[str, Any]:
        return emf_metadata(fields, at) if self._emf else {}


def interval_fields(grown: Counts) -> dict[str, Any]:
    """What the counts that grew since the line before are called on the line."""
    outcomes: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    requests: dict[str, int] = {}
    for series, count in grown.items():
        totals[series[0]] += round(count)
        if series[0] == "shardworker_jobs_total":
            outcomes[series[2]] += round(count)
        elif series[0] == "shardworker_sqs_requests_total" and count:
            requests[series[1]] = round(count)
    return {
        "interval_settled": sum(count for outcome, count in outcomes.items() if outcome not in RELEASES),
        "interval_failed": sum(count for outcome, count in outcomes.items() if outcome in FAILED),
        "interval_released": sum(count for outcome, count in outcomes.items() if outcome in RELEASES),
        "interval_dead_lettered": totals["shardworker_dead_letters_total"],
        "interval_attempts": totals["shardworker_attempts_total"],
        "interval_requests": dict(sorted(requests.items())),
    }
