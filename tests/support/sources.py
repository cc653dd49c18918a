"""A source of placements or grants that a test changes, breaks and counts, and a listener that notes."""

import threading
from collections.abc import Mapping, Sequence

from shards.directory import DirectoryUnavailable


class TestSource:
    """Answers from `values`; `away` is why it does not, and `gate` keeps each question until it is set."""

    __test__ = False

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.away: str | None = None
        self.asked: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()

    def __call__(self, keys: Sequence[str]) -> Mapping[str, str]:
        """What the source says now."""
        self.asked.append(list(keys))
        answer = {key: self.values[key] for key in keys if key in self.values}
        self.reached.set()
        assert self.gate.wait(60)
        if self.away is not None:
            raise DirectoryUnavailable(self.away)
        return answer


class NotedEvents:
    """Notes what a directory's listener is told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def away(self, reason: str) -> None:
        """The source went away."""
        self.events.append(f"away: {reason}")

    def back(self) -> None:
        """The source is back."""
        self.events.append("back")

    def bad_placement(self, customer_id: str, reason: str) -> None:
        """A placement cannot be used."""
        self.events.append(f"bad {customer_id}: {reason}")
