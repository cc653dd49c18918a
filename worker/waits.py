"""Waits: which of them a release carries, which need a copy of the message, and what the copy says."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from worker.transports.limits import DELAY_MAXIMUM, RELEASE_DELAY_MAXIMUM

IN_FLIGHT_MAXIMUM: Final = 60_000
"""Half of what SQS allows; a released message is in flight until it shows again, a delayed one is not."""

WAIT_MAXIMUM: Final = timedelta(days=366)
"""The longest wait that is kept: a handler may ask for more than a calendar holds."""

NOT_DUE_DELAY_MAXIMUM: Final = RELEASE_DELAY_MAXIMUM - timedelta(hours=1)
"""The longest release of a message that says itself how long it waits: an hour is left for its handling."""


class QueueFacts(NamedTuple):
    """How long a queue keeps messages (None: for ever), and about how many of them are in flight."""

    retention: timedelta | None
    in_flight: int


def must_resend(wait: timedelta, age: timedelta, held_for: timedelta, queue: QueueFacts) -> bool:
    """Whether a message that has to wait is sent anew rather than released; never one that waits for nothing.

    `age` is this message's own, since it was sent; `held_for` the time since it was received, from which SQS
    counts how long it stays hidden. It is sent anew where the wait is too long for that, where the message
    would be older than half of the queue's retention at its end, and where too many are in flight.
    """
    if wait <= timedelta():
        return False
    return (
        held_for + wait > RELEASE_DELAY_MAXIMUM
        or (queue.retention is not None and age + wait > queue.retention / 2)
        or queue.in_flight > IN_FLIGHT_MAXIMUM
    )


def release_delay(wait: timedelta, held_for: timedelta) -> timedelta:
    """The delay of a release: the wait, or as much of it as SQS still grants."""
    return min(wait, max(RELEASE_DELAY_MAXIMUM - held_for, timedelta()))


def due_at(wait: timedelta, now: datetime, delay: timedelta = DELAY_MAXIMUM) -> datetime | None:
    """The end of a wait, for a copy to say, where the `delay` that it is sent with is too short for it."""
    return now + wait if wait > delay else None


def not_due_delay(
    not_before: datetime | None, sent_at: datetime, now: datetime, longest: timedelta
) -> timedelta | None:
    """How long to release a message that says itself until when it waits; None when it is due.

    It is due when `longest` has passed since it was sent, whatever it says.
    """
    if not_before is None:
        return None
    left = min(not_before - now, longest - (now - sent_at))
    return min(left, NOT_DUE_DELAY_MAXIMUM) if left > timedelta() else None
