"""Which lines of a log are meant: the filters of `shardworker logs`."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Final

LEVELS: Final = ("debug", "info", "warning", "error")
PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]+")
"""A value that stands in JSON as it is, whoever wrote it."""
LONGEST_MS: Final = 1e15
"""Thirty thousand years; larger numbers, which JSON may hold, are no durations and may be beyond a float."""

Fields = Mapping[str, Any]
Test = Callable[[Fields], bool]


@dataclass(frozen=True, slots=True)
class Filters:
    """What the options ask for. All of them have to fit; of several values of one, any.

    `equal`: values by field. `events`: names, `*` for any characters. `level`: the least one.
    """

    equal: Mapping[str, Collection[str]]
    shards: Collection[str] = ()
    events: Collection[str] = ()
    level: str | None = None
    slow: timedelta | None = None
    since: datetime | None = None
    until: datetime | None = None

    def tests(self) -> list[Test]:
        """A test for each thing that is asked for: a line that passes all of them is meant."""
        tests = [_is_one_of(name, frozenset(values)) for name, values in self.equal.items() if values]
        if self.shards:
            tests.append(_is_of_a_shard(frozenset(self.shards)))
        if self.events:
            tests.append(_is_of_an_event(self.events))
        if self.level is not None:
            tests.append(_is_one_of("level", frozenset(LEVELS[LEVELS.index(self.level) :])))
        if self.slow is not None:
            tests.append(_took_at_least(self.slow / timedelta(milliseconds=1)))
        if self.since is not None or self.until is not None:
            tests.append(_is_within(self.since, self.until))
        return tests

    def needles(self) -> list[bytes]:
        """Bytes that each line that is meant has somewhere: a look for them costs less than decoding."""
        wanted = [*self.equal.values(), self.shards]
        single = [next(iter(values)) for values in wanted if len(values) == 1]
        return [value.encode("ascii") for value in single if PLAIN.fullmatch(value)]


def timestamp(moment: datetime) -> str:
    """The moment in the form of a line's `ts`, which sorts as time does."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shards_of(fields: Fields) -> list[str]:
    """The shards that a line is about."""
    several = fields.get("shards")
    named = [*several] if isinstance(several, list) else []
    return [shard for shard in [*named, fields.get("shard")] if isinstance(shard, str)]


def duration_ms(value: Any) -> float | None:
    """The field's value in milliseconds; None where it is no duration."""
    return value if isinstance(value, int | float) and -LONGEST_MS <= value <= LONGEST_MS else None


def _is_one_of(name: str, values: frozenset[str]) -> Test:
    return lambda fields: str(fields.get(name)) in values


def _is_of_a_shard(shards: frozenset[str]) -> Test:
    return lambda fields: not shards.isdisjoint(shards_of(fields))


def _is_of_an_event(patterns: Collection[str]) -> Test:
    return lambda fields: any(fnmatchcase(fields["event"], pattern) for pattern in patterns)


def _took_at_least(milliseconds: float) -> Test:
    def is_slow(fields: Fields) -> bool:
        took = duration_ms(fields.get("total_ms"))
        return took is not None and took >= milliseconds

    return is_slow


def _is_within(since: datetime | None, until: datetime | None) -> Test:
    first = timestamp(since) if since else ""
    last = timestamp(until) if until else "~"
    return lambda fields: first <= str(fields.get("ts", "")) <= last
