"""What becomes of a job once its parts are done: answer, bury, discard or return, as pure data."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

Status = Literal["succeeded", "partial", "failed", "rejected"]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a message goes to the failure queue; `attempt` is the highest that its parts were counted."""

    code: str
    message: str
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """Send the result, then the dead letter if one is due, then ack.

    `code` is the first failed part's, for the log; None where no part failed.
    """

    status: Status
    body: str = field(repr=False)
    dead_letter: Reason | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Bury:
    """Send a dead letter and ack, without an answer: the message has none, or the answer is another job's."""

    dead_letter: Reason


@dataclass(frozen=True, slots=True)
class Discard:
    """Ack without an answer: a later run of the same job has taken this one's place."""

    code: str


@dataclass(frozen=True, slots=True)
class Return:
    """Let the message, or a copy, come again after the delay. `attempt` counts tries, if one was counted."""

    after: timedelta
    code: str
    attempt: int = 0


Conclusion = Answer | Bury | Discard | Return


@dataclass(frozen=True, slots=True)
class Deferral:
    """Why a part did not end in an outcome this time, and when to look again."""

    after: timedelta
    code: str
    attempt: int = 0


def soonest(deferrals: Collection[Deferral]) -> Return:
    """Return the job when its first part can go on: parts with an outcome cost only a look then."""
    first = min(deferrals, key=lambda deferral: deferral.after)
    return Return(first.after, first.code, max(deferral.attempt for deferral in deferrals))


def status_of(succeeded: int, total: int) -> Status:
    """The job's status by its parts: all, some or none succeeded."""
    if succeeded == total:
        return "succeeded"
    return "partial" if succeeded else "failed"
