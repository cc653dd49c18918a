"""A cached source whose time and answers a test has in hand."""

from datetime import timedelta

from shards.availability import Availability
from shards.cached_source import CachedSource
from tests.support.fakes import ManualTime
from tests.support.sources import NotedEvents, TestSource


class World:
    """A source behind a cache of 5 s, stale after 60 s."""

    def __init__(self, lifetime: float = 5.0) -> None:
        self.source = TestSource()
        self.source.values = {"a": "1", "b": "1", "c": "1"}
        self.time = ManualTime()
        self.noted = NotedEvents()
        self.availability = Availability(self.noted, self.time.clock.monotonic)
        self.cache = CachedSource(
            self.source,
            timedelta(seconds=lifetime),
            timedelta(seconds=60),
            self.availability,
            self.time.clock.monotonic,
        )

    def find(self, *keys: str) -> dict[str, str]:
        """What is known of the keys."""
        return self.cache.find(keys).values

    def questions(self) -> list[list[str]]:
        """What was asked since the last call, each question's keys in order."""
        asked, self.source.asked = self.source.asked, []
        return [sorted(keys) for keys in asked]
