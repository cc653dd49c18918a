"""Whether a source of placements and grants answers, and when it may be asked again after it did not."""

import threading
from collections.abc import Callable
from typing import Final, Protocol

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
DOUBLINGS_MAXIMUM: Final = 10


class DirectoryListener(Protocol):
    """Who is told what becomes of the directory's source; called from any thread."""

    def away(self, reason: str) -> None:
        """The source does not answer; what is remembered is used. Called once until it is back."""
        ...

    def back(self) -> None:
        """The source answers again."""
        ...

    def bad_placement(self, customer_id: str, reason: str) -> None:
        """What the source says of a customer cannot be used. Called once until it can."""
        ...


class Availability:
    """Whether one source answers. Safe to use from several threads at once.

    After each question in vain the source is left alone for a while: a second, doubled each time, at most
    half a minute.
    """

    def __init__(self, listener: DirectoryListener, monotonic: Callable[[], float]) -> None:
        self._listener = listener
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failures = 0
        self._ask_at = 0.0
        self._reason = ""

    @property
    def is_away(self) -> bool:
        """Whether the last question was in vain."""
        return self._failures > 0

    @property
    def reason(self) -> str:
        """Why the source is away; empty while it answers."""
        return self._reason

    def may_ask(self) -> bool:
        """Whether the source answers, or has been left alone long enough."""
        with self._lock:
            return self._failures == 0 or self._monotonic() >= self._ask_at

    def note_failure(self, reason: str) -> None:
        """A question was in vain."""
        with self._lock:
            first = self._failures == 0
            pause_seconds = FIRST_PAUSE_SECONDS * 2 ** min(self._failures, DOUBLINGS_MAXIMUM)
            self._failures += 1
            self._ask_at = self._monotonic() + min(pause_seconds, LONGEST_PAUSE_SECONDS)
            self._reason = reason
        if first:
            self._listener.away(reason)

    def note_answer(self) -> None:
        """A question was answered."""
        with self._lock:
            was_away = self._failures > 0
            self._failures = 0
            self._reason = ""
        if was_away:
            self._listener.back()
