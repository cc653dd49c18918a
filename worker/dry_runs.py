"""What is different of a dry run before it runs: how its deaths are counted, and how it is refused."""

from dataclasses import replace
from typing import Final

from config.headers import OwnHeader
from config.result import error_of
from worker.conclusion import Answer
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
        return own.deaths + max(receive_count - 1 - (own.not_before is not None), 0)
    uncopied = receive_count - TRIES_TO_SET_APART * suspect_receives
    return uncopied if uncopied >= 0 else None


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
