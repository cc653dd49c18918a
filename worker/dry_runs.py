"""What is different of a dry run before it runs: how its deaths are counted, and how it is refused."""

from dataclasses import replace

from config.headers import OwnHeader
from config.result import error_of
from worker.conclusion import Answer
from worker.job_in_hand import JobInHand


def deaths_of(own: OwnHeader, receive_count: int, suspect_receives: int) -> int | None:
    """How many processes are thought to have died with a dry run; None while it came too seldom to tell.

    From then on it is given back by copies alone, whose receives are counted anew. So whatever is received
    again after that was in the hands of somebody who did not live to give it back; but for a copy that says
    when it is due, which may have come before that.
    """
    receives = receive_count - (own.not_before is not None)
    if own.deaths is not None:
        return own.deaths + max(receives - 1, 0)
    return receives - suspect_receives if receives >= suspect_receives else None


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
