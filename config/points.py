"""Points: named places on a job's way, at which tests look on or kill the process."""

from collections.abc import Callable
from typing import Final, Literal

# Plain strings: an enum's members would cost four times as much to name, on the way of every part.
Point = Literal[
    # a message is in hand and leased, and nobody has looked into it
    "after_receive",
    # the job is decoded, routed and allowed, its attachments are on the disk; no part is in a lane
    "after_prepare",
    # another delivery of a job in hand was joined to it
    "after_join",
    # a part's row is claimed, in a transaction that is open
    "after_claim",
    # a handler has written; for the tests' handlers to pass, the worker itself does not
    "inside_handler",
    # a part's outcome is written, the COMMIT is not sent
    "before_commit",
    # the database has answered the COMMIT, and nobody else knows of it
    "after_commit",
    # all parts of a job have their outcomes, the result is not sent
    "before_result",
    # the response queue has taken the result; neither a dead letter nor an ack was sent
    "after_result",
    # the failure queue has taken the dead letter, and the message is not acked
    "after_dead_letter",
    # the request queue has taken the copy of a message that waits, and the message is not acked
    "after_resend",
]

Watcher = Callable[[Point], None]

watchers: Final[list[Watcher]] = []
"""Who is told of each passing: nobody, but in tests."""


def passed(point: Point) -> None:
    """Tell the watchers that a point was passed, on the thread that passes it; does nothing without any."""
    for watcher in watchers:
        watcher(point)
