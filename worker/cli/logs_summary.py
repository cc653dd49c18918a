"""What a log says in all: counts, percentiles, errors and shards, gathered in bounded memory."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from worker.cli.logs_filters import duration_ms, shards_of
from worker.cli.logs_lines import duration_text

STEP: Final = math.log(1.02)
LEAST_MS: Final = 0.1
NAMES_MAXIMUM: Final = 1000
OTHERS: Final = "(others)"
SHOWN_MAXIMUM: Final = 20
DURATIONS: Final = ("total_ms", "queue_wait_ms", "prepare_ms", "lane_wait_ms", "database_ms")

Key = TypeVar("Key")
Table = tuple[str, Sequence[str], list[Sequence[object]]]
"""A title, the columns and the rows."""


class Durations:
    """Durations in milliseconds, counted in steps of 2 %: percentiles in bounded memory, as exact as that."""

    def __init__(self) -> None:
        self.count = 0
        self.longest = 0.0
        self._steps: Counter[int] = Counter()

    def add(self, milliseconds: float) -> None:
        """Count one."""
        self.count += 1
        self.longest = max(self.longest, milliseconds)
        self._steps[round(math.log(max(milliseconds, LEAST_MS)) / STEP)] += 1

    def percentile(self, share: float) -> float:
        """The duration that this share of all did not exceed, within 2 %; 0 where there is none."""
        left = share * self.count
        for step in sorted(self._steps):
            left -= self._steps[step]
            if left <= 0:
                return min(math.exp(step * STEP), self.longest)
        return self.longest


@dataclass(slots=True)
class OfShard:
    """What the lines say of one shard."""

    jobs: int = 0
    errors: int = 0
    took: Durations = field(default_factory=Durations)


class Summary:
    """Gathers lines one by one. Of names that are too many, the first thousand are kept apart."""

    def __init__(self) -> None:
        self.count = 0
        self.foreign = 0
        self._first = ""
        self._last = ""
        self._endings: Counter[tuple[str, str]] = Counter()
        self._durations = {name: Durations() for name in DURATIONS}
        self._errors: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._shards: dict[str, OfShard] = {}

    def add(self, fields: Mapping[str, Any]) -> None:
        """Take a line of the worker."""
        self.count += 1
        moment = str(fields.get("ts", ""))
        self._first = min(self._first or moment, moment)
        self._last = max(self._last, moment)
        ending = str(fields["event"]), str(fields.get("outcome", ""))
        self._endings[_kept(self._endings, ending, (OTHERS, ""))] += 1
        code = fields.get("error_code")
        if isinstance(code, str):
            self._add_error(code, fields.get("job"))
        if ending[1]:
            self._add_delivery(fields, has_error=code is not None)

    def headline(self) -> str:
        """What it is a summary of."""
        foreign = f", {self.foreign} that are none of the worker's" if self.foreign else ""
        return f"{self.count} lines{foreign}" + (f", {self._first} to {self._last}" if self.count else "")

    def tables(self) -> Iterator[Table]:
        """The summary's tables that have rows."""
        tables: list[Table] = [
            ("Events", ("event", "outcome", "lines"), _rows_of_endings(self._endings)),
            ("Durations", ("of", "count", "p50", "p95", "p99", "longest"), list(self._rows_of_durations())),
            ("Errors", ("code", "lines", "such as job"), list(self._rows_of_errors())),
            ("Shards", ("shard", "deliveries", "with errors", "p50", "p95"), list(self._rows_of_shards())),
        ]
        return (table for table in tables if table[2])

    def _add_error(self, code: str, job: Any) -> None:
        kept = _kept(self._errors, code, OTHERS)
        self._errors[kept] += 1
        self._examples.setdefault(kept, str(job or ""))

    def _add_delivery(self, fields: Mapping[str, Any], *, has_error: bool) -> None:
        for name, durations in self._durations.items():
            took = duration_ms(fields.get(name))
            if took is not None:
                durations.add(took)
        total = duration_ms(fields.get("total_ms"))
        for name in shards_of(fields):
            shard = self._shards.setdefault(_kept(self._shards, name, OTHERS), OfShard())
            shard.jobs += 1
            shard.errors += has_error
            if total is not None:
                shard.took.add(total)

    def _rows_of_durations(self) -> Iterator[Sequence[object]]:
        for name, durations in self._durations.items():
            if durations.count:
                shares = (durations.percentile(share) for share in (0.5, 0.95, 0.99))
                yield name, durations.count, *map(duration_text, shares), duration_text(durations.longest)

    def _rows_of_errors(self) -> Iterator[Sequence[object]]:
        for code, count in self._errors.most_common(SHOWN_MAXIMUM):
            yield code, count, self._examples[code]

    def _rows_of_shards(self) -> Iterator[Sequence[object]]:
        worst_first = sorted(self._shards.items(), key=lambda item: (-item[1].errors, -item[1].jobs, item[0]))
        for name, shard in worst_first[:SHOWN_MAXIMUM]:
            shares = (duration_text(shard.took.percentile(share)) for share in (0.5, 0.95))
            yield name, shard.jobs, shard.errors, *shares


def _rows_of_endings(endings: Counter[tuple[str, str]]) -> list[Sequence[object]]:
    return [(event, outcome, count) for (event, outcome), count in sorted(endings.items())]


def _kept(known: Mapping[Key, Any], key: Key, others: Key) -> Key:
    """The key, or the one for all others where there are too many."""
    return key if key in known or len(known) < NAMES_MAXIMUM else others
