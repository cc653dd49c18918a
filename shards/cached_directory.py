"""The directory over a source that can be away: a catalog or a function, behind a cache."""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from shards.availability import Availability, DirectoryListener
from shards.cached_source import CachedSource
from shards.directory import BadPlacement, Placement, PlacementUnusable

Source = Callable[[Sequence[str]], Mapping[str, Placement | BadPlacement]]
"""Asks for customers, each once; one that is missing is unknown. Raises `DirectoryUnavailable`."""


class CachedDirectory:
    """A directory that remembers what its source told; see `CachedSource` for how long.

    Args:
        source: Where the placements come from.
        lifetime: How old an answer may be.
        stale: How old it may be while the source is away.
        availability: Whether the source answers.
        listener: Is told of placements that cannot be used.
        monotonic: The time, in seconds.
    """

    def __init__(
        self,
        source: Source,
        lifetime: timedelta,
        stale: timedelta,
        availability: Availability,
        listener: DirectoryListener,
        monotonic: Callable[[], float],
    ) -> None:
        self._source = source
        self._listener = listener
        self._cache = CachedSource(self._load, lifetime, stale, availability, monotonic)
        self._lock = threading.Lock()
        self._bad: set[str] = set()

    def find(self, customer_ids: Sequence[str]) -> dict[str, Placement]:
        """The placement of each customer; one that is missing is unknown.

        Raises:
            DirectoryUnavailable: the source is away, and of some customer nothing is remembered.
            PlacementUnusable: what it says of one of the customers cannot be used.
        """
        placements: dict[str, Placement] = {}
        for customer_id, found in self._cache.find(customer_ids).values.items():
            if isinstance(found, BadPlacement):
                raise PlacementUnusable(f"The placement of {customer_id!r} cannot be used: {found.reason}")
            placements[customer_id] = found
        return placements

    def forget(self, customer_ids: Sequence[str]) -> None:
        """What is remembered of these customers was wrong: ask anew at the next `find`."""
        self._cache.forget(customer_ids)

    def _load(self, customer_ids: Sequence[str]) -> Mapping[str, Placement | BadPlacement]:
        found = self._source(customer_ids)
        for bad in self._newly_bad(customer_ids, found):
            self._listener.bad_placement(bad.customer_id, bad.reason)
        return found

    def _newly_bad(
        self, customer_ids: Sequence[str], found: Mapping[str, Placement | BadPlacement]
    ) -> list[BadPlacement]:
        bad = {value.customer_id: value for value in found.values() if isinstance(value, BadPlacement)}
        with self._lock:
            new = [value for customer_id, value in bad.items() if customer_id not in self._bad]
            self._bad.difference_update(customer_ids)
            self._bad.update(bad)
        return new
