"""The tally: what the process has done, counted where it happens and read when somebody asks."""

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, Final

from config.codes import is_known
from worker.metrics.names import OTHER_CODE, UNKNOWN_TYPE

BOUNDS_SECONDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
    *(5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0),
)
RELEASES: Final = frozenset({"released", "resent"})

Series = tuple[str, ...]
"""A metric's name, then the values of its labels in their order."""

Counts = Mapping[Series, float]


class Histogram:
    """How many values were at most each of the bounds, and their sum; not thread-safe."""

    __slots__ = ("buckets", "sum")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS_SECONDS) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.buckets[bisect_left(BOUNDS_SECONDS, value)] += 1
        self.sum += value

    def copy(self) -> "Histogram":
        """The histogram as it is now."""
        twin = Histogram()
        twin.buckets, twin.sum = list(self.buckets), self.sum
        return twin


class Tally:
    """Counts of the whole process since its start; thread-safe, and cheap to add to.

    `job_types` are those that have a handler: others count as `unknown`, so that no sender makes series.
    """

    def __init__(self, job_types: Collection[str] = ()) -> None:
        self._job_types = frozenset(job_types)
        self._lock = threading.Lock()
        self._counts: defaultdict[Series, float] = defaultdict(float)
        self._histograms: defaultdict[Series, Histogram] = defaultdict(Histogram)

    def note_delivery(self, event: str, fields: Mapping[str, Any]) -> None:
        """A delivery is out of hand; event and fields are those of its line in the log."""
        job_type, outcome, code = self._type(fields.get("type")), fields["outcome"], fields["error_code"]
        with self._lock:
            counts = self._counts
            if fields.get("dry_run"):
                counts["shardworker_dry_runs_total", job_type, outcome] += 1
            else:
                counts["shardworker_jobs_total", job_type, outcome] += 1
                if code is not None:
                    counts["shardworker_errors_total", code if is_known(code) else OTHER_CODE] += 1
            if event == "job.dead_lettered":
                counts[("shardworker_dead_letters_total",)] += 1
            if not fields["copy"]:
                counts["shardworker_database_seconds_total", job_type] += fields["database_ms"] / 1000
            self._note_times(job_type, fields)

    def note_part(self, job_type: str, outcome: str) -> None:
        """A part had its turn on a worker thread."""
        job_type = self._type(job_type)
        with self._lock:
            self._counts["shardworker_parts_total", job_type, outcome] += 1
            if outcome == "retried":
                self._counts["shardworker_attempts_total", job_type] += 1

    def note_request(self, service: str, action: str) -> None:
        """A request went to `sqs` or `s3`; the action as AWS names it."""
        self.add(1, f"shardworker_{service}_requests_total", action)

    def note_bytes(self, direction: str, count: int) -> None:
        """Bytes of objects were `read` or `written`."""
        self.add(count, "shardworker_s3_bytes_total", direction)

    def add(self, amount: float, *series: str) -> None:
        """Add to one count."""
        with self._lock:
            self._counts[series] += amount

    def counts(self) -> dict[Series, float]:
        """All counts as they are now."""
        with self._lock:
            return dict(self._counts)

    def histograms(self) -> dict[Series, Histogram]:
        """All histograms as they are now."""
        with self._lock:
            return {series: histogram.copy() for series, histogram in self._histograms.items()}

    def _type(self, job_type: str | None) -> str:
        return job_type if job_type in self._job_types else UNKNOWN_TYPE

    def _note_times(self, job_type: str, fields: Mapping[str, Any]) -> None:
        histograms = self._histograms
        if fields["outcome"] not in RELEASES and not fields.get("dry_run"):
            histograms["shardworker_job_seconds", job_type].observe(fields["total_ms"] / 1000)
        # A message that comes again has waited for its shard or its turn, not for a worker.
        if fields["receive_count"] == 1:
            wait_seconds = fields["queue_wait_ms"] / 1000
            histograms["shardworker_queue_wait_seconds", fields["queue"]].observe(wait_seconds)
