"""Counts how often this process failed to take a message in, by an error that nobody expected."""

import threading
from collections import OrderedDict
from typing import Final

from worker.held import Held

DEFECTS_MAXIMUM: Final = 3
RECEIVES_MINIMUM: Final = 10
MESSAGES_MAXIMUM: Final = 10_000

MessageKey = tuple[str, str]


class Defects:
    """Tells when a message is to be given up; thread-safe.

    A receive is no failure: a message may have waited through hundreds of them. Nor is one failure enough,
    for it may pass. The messages that failed last are remembered, so many that more of them at once, which
    are then never given up, tell of a worker that is unwell and not of its messages.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: OrderedDict[MessageKey, int] = OrderedDict()

    def is_last(self, held: Held) -> bool:
        """Count a failure at this delivery; whether it was one too many: its message is forgotten then."""
        key = _key_of(held)
        with self._lock:
            count = self._counts.pop(key, 0) + 1
            if count >= DEFECTS_MAXIMUM and held.delivery.receive_count >= RECEIVES_MINIMUM:
                return True
            self._counts[key] = count
            if len(self._counts) > MESSAGES_MAXIMUM:
                self._counts.popitem(last=False)
            return False

    def forget(self, held: Held) -> None:
        """The message was taken in: what failed before has passed."""
        if self._counts:
            with self._lock:
                self._counts.pop(_key_of(held), None)


def _key_of(held: Held) -> MessageKey:
    return held.source.name, held.delivery.message_id
