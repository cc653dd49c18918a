"""A cache in front of a source that is asked by key: one question at a time, old answers while it is away."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Final, Generic, NamedTuple, TypeVar

from shards.availability import Availability
from shards.directory import DirectoryUnavailable

Value = TypeVar("Value")

TAKEN_ALONG_MAXIMUM: Final = 500
ENTRIES_MAXIMUM: Final = 100_000
UNKNOWN_LIFETIME: Final = timedelta(seconds=1)
PATIENCE_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.5


@dataclass(slots=True)
class _Entry(Generic[Value]):
    """The last answer about one key; None: the source does not have it. `asked_at` is before the question."""

    value: Value | None
    asked_at: float
    forgotten: bool = False


class Found(NamedTuple, Generic[Value]):
    """What is known of the keys that were asked for; `stale`: some of it only from before the source left."""

    values: dict[str, Value]
    stale: bool


class CachedSource(Generic[Value]):
    """Remembers what a source told. Safe to use from several threads at once.

    An answer is used for `lifetime`, that a key is not there for a second at most. Threads that need what is
    not remembered ask one question together; it takes along the other answers that were used and are due
    soon, so that many busy keys cost one question in a `lifetime`. While the source is away, answers are
    used until they are `stale` old.

    Args:
        load: Asks the source for some keys, each once; a key that it does not have is missing. Raises
            `DirectoryUnavailable` when it cannot be asked.
        lifetime: How old an answer may be.
        stale: How old it may be while the source is away.
        availability: Whether the source answers; shared by all that ask the same one.
        monotonic: The time, in seconds.
    """

    def __init__(
        self,
        load: Callable[[Sequence[str]], Mapping[str, Value]],
        lifetime: timedelta,
        stale: timedelta,
        availability: Availability,
        monotonic: Callable[[], float],
    ) -> None:
        self._load = load
        self._lifetime_seconds = lifetime.total_seconds()
        self._unknown_seconds = min(lifetime, UNKNOWN_LIFETIME).total_seconds()
        self._stale_seconds = stale.total_seconds()
        self._availability = availability
        self._monotonic = monotonic
        self._changed = threading.Condition()
        # the order is that in which they were asked for: the first is the oldest
        self._entries: dict[str, _Entry[Value]] = {}
        self._used: dict[str, None] = {}
        self._wanted: dict[str, None] = {}
        self._forgotten: set[str] = set()
        self._loading_since: float | None = None

    def find(self, keys: Sequence[str]) -> Found[Value]:
        """What is known of the keys; one that the source does not have is missing.

        Raises:
            DirectoryUnavailable: the source is away, and of some key nothing is remembered.
        """
        began_at = self._monotonic()
        while True:
            with self._changed:
                found_or_batch = self._answer_or_ask(keys, began_at)
            if isinstance(found_or_batch, Found):
                return found_or_batch
            self._ask(found_or_batch)

    def forget(self, keys: Sequence[str]) -> None:
        """Ask anew for these keys at the next `find`; the old answers serve only while the source is away."""
        with self._changed:
            for key in keys:
                if key in self._entries:
                    self._entries[key].forgotten = True
            if self._loading_since is not None:
                # what the question under way will bring may be from before
                self._forgotten.update(keys)

    def _answer_or_ask(self, keys: Sequence[str], began_at: float) -> Found[Value] | list[str]:
        """The answer as soon as there is one, or else the keys that this thread is to ask for."""
        while True:
            now = self._monotonic()
            lacking = [key for key in keys if not self._is_fresh(key, now, began_at)]
            if not lacking or not self._is_worth_waiting(now):
                return self._remembered(keys, lacking, now)
            self._wanted.update(dict.fromkeys(lacking))
            if self._loading_since is None:
                return self._begin(now)
            self._changed.wait(LOOK_SECONDS)

    def _is_fresh(self, key: str, now: float, began_at: float) -> bool:
        entry = self._entries.get(key)
        if entry is None or entry.forgotten:
            return False
        seconds = self._unknown_seconds if entry.value is None else self._lifetime_seconds
        # what was asked after this call began is new enough, however short answers live
        return entry.asked_at >= began_at or now < entry.asked_at + seconds

    def _is_worth_waiting(self, now: float) -> bool:
        if self._loading_since is None:
            return self._availability.may_ask()
        return not self._availability.is_away and now < self._loading_since + PATIENCE_SECONDS

    def _begin(self, now: float) -> list[str]:
        due = islice(self._due_soon(now), TAKEN_ALONG_MAXIMUM)
        batch = list({**self._wanted, **dict.fromkeys(due)})
        self._wanted.clear()
        self._loading_since = now
        return batch

    def _due_soon(self, now: float) -> Iterator[str]:
        asked_until = now - self._lifetime_seconds / 2
        return (
            key
            for key in self._used
            if key not in self._wanted and self._entries[key].asked_at <= asked_until
        )

    def _ask(self, batch: list[str]) -> None:
        asked_at = self._monotonic()
        values: Mapping[str, Value] | None = None
        try:
            values = self._load(batch)
        except DirectoryUnavailable as error:
            self._availability.note_failure(str(error))
        else:
            self._availability.note_answer()
        finally:
            with self._changed:
                if values is not None:
                    self._store(batch, values, asked_at)
                self._forgotten.clear()
                self._loading_since = None
                self._changed.notify_all()

    def _store(self, batch: list[str], values: Mapping[str, Value], asked_at: float) -> None:
        for key in batch:
            self._used.pop(key, None)
            self._entries.pop(key, None)
            self._entries[key] = _Entry(values.get(key), asked_at, key in self._forgotten)
        # what was asked for just now stays, however much it is: somebody waits for it
        while len(self._entries) > max(ENTRIES_MAXIMUM, len(batch)):
            oldest = next(iter(self._entries))
            del self._entries[oldest]
            self._used.pop(oldest, None)

    def _remembered(self, keys: Sequence[str], lacking: list[str], now: float) -> Found[Value]:
        for key in lacking:
            entry = self._entries.get(key)
            if entry is None or entry.value is None or now >= entry.asked_at + self._stale_seconds:
                raise DirectoryUnavailable(self._availability.reason or "The directory does not answer.")
        values = {key: value for key in keys if (value := self._entries[key].value) is not None}
        self._used.update(dict.fromkeys(values))
        return Found(values, stale=bool(lacking))
