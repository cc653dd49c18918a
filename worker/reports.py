"""Reports: how a part's turn on a worker thread ended."""

from dataclasses import dataclass

from shards.inbox import ContentConflict, Outcome, Superseded
from worker.conclusion import Deferral


@dataclass(frozen=True, slots=True)
class Away:
    """The shard could not be asked: the part waits in its lane until a probe finds it back."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The part has its outcome."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The part was ended by another thread meanwhile: nothing is recorded and nothing to be reported."""


Report = Ended | Deferral | Away | ContentConflict | Superseded | GivenUp


def turn_outcome(report: Report) -> str:
    """What came of a part's turn, in a word: for counts, so few words."""
    match report:
        case Ended(outcome):
            return outcome.state
        case Deferral(attempt=attempt):
            return "retried" if attempt else "deferred"
        case Away():
            return "away"
        case ContentConflict():
            return "conflict"
        case Superseded() | GivenUp():
            return "superseded"
