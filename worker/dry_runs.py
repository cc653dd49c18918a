"""What is different of a dry run before it runs: how its deaths are counted, and how it is refused."""

from dataclasses import replace
from typing import Final

from config.headers import OwnHeader, read_own_header
from config.result import error_of
from worker.conclusion import Answer
from worker.held import Held
from worker.job_in_hand import JobInHand

TRIES_TO_SET_APART: Final = 10
"""After so many times the receives that make it suspected, it is counted as it comes."""


def is_to_be_set_apart(own: OwnHeader, receive_count: int, suspect_receives: int) -> bool:
    """Whether a dry run has come so often without an end that it is to be watched: as a copy of its own.

    What it came with may have killed its processes, or its shard was away. One that cannot be sent stays.
    """
    return own.deaths is None and suspect_receives <= receive_count < TRIES_TO_SET_APART * suspect_receives


def deaths_of(own: OwnHeader, receive_count: int, suspect_receives: int) -> int | None:
    """How many processes are thought to have died with a dry run; None where it is not watched.

    One that is watched is given back by copies alone. So whatever is received again was in the hands of
    somebody who did not live to give it back; but for a copy that says when it is due, and came before that.
    """
    if own.deaths is not None:
        return own.deaths + _uncounted(own, receive_count)
    uncopied = receive_count - TRIES_TO_SET_APART * suspect_receives
    return uncopied if uncopied >= 0 else None


def deaths_to_tell(held: Held) -> int | None:
    """The deaths that a copy is to tell; None where the delivery may be released, and is not counted for it.

    It need not have been opened: its body could not be fetched, or the worker stops.
    """
    if held.deaths is not None:
        return held.deaths
    own, receive_count = read_own_header(held.delivery.headers), held.delivery.receive_count
    if own.deaths is None or receive_count <= _spare_receives(own):
        return None
    return own.deaths + _uncounted(own, receive_count)


def _uncounted(own: OwnHeader, receive_count: int) -> int:
    """How many died with a copy since it was sent, by its receives."""
    return max(receive_count - 1 - _spare_receives(own), 0)


def _spare_receives(own: OwnHeader) -> int:
    """How many receives of a copy may end in a release: one that came before it was due."""
    return 0 if own.not_before is None else 1


def refuse_killer(job: JobInHand, maximum: int) -> None:
    """Refuse all parts of a dry run that `maximum` processes have died with."""
    deaths = job.held[0].deaths or 0
    if deaths >= maximum:
        killed = error_of("worker_killed", f"The process died {deaths} times while it had this dry run.")
        for part in job.parts:
            part.refusal = killed


def end_refused(job: JobInHand) -> None:
    """Let the parts that are refused end without their shards: nothing is written of them."""
    for part in job.parts:
        if part.refusal is not None:
            part.placement = None


def kept_nowhere(rejection: Answer, code: str) -> Answer:
    """The rejection without a dead letter: it is answered, and there is nothing to be done again."""
    return replace(rejection, dead_letter=None, code=code)
