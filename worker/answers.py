"""Answers: the results that the front door gets of a job, final ones and those of a job under way."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from config import result
from config.result import WAITING_MAXIMUM, Progress, Result, encode_result, error_of
from shards.inbox import Outcome
from worker.conclusion import Answer, Reason, status_of
from worker.envelope import Identity


def final_answer(
    identity: Identity, outcomes: Sequence[Outcome], received_at: datetime, finished_at: datetime
) -> Answer:
    """The answer to a job and run with these outcomes, in the job's order.

    Apart from the two times it has the same bytes whenever and wherever it is made.
    """
    succeeded = sum(outcome.state == "succeeded" for outcome in outcomes)
    status = status_of(succeeded, len(outcomes))
    final = _result(identity, status, received_at, finished_at)
    body = encode_result(final, tuple(outcome.body for outcome in outcomes))
    return Answer(status, body, _due_dead_letter(outcomes), _first_code(outcomes))


def rejected(
    identity: Identity, code: str, message: str, received_at: datetime, finished_at: datetime
) -> Answer:
    """The answer to a job that was refused before anything ran; its message goes to the failure queue too."""
    error = error_of(code, message)
    final = msgspec.structs.replace(_result(identity, "rejected", received_at, finished_at), error=error)
    return Answer("rejected", encode_result(final), Reason(code, error.message))


def running(identity: Identity, progress: Progress, waiting: Sequence[str], received_at: datetime) -> str:
    """The body that says how far a job is, and which customers wait for a shard that is away."""
    told = _result(identity, "running", received_at, None)
    named = tuple(waiting[:WAITING_MAXIMUM])
    return encode_result(msgspec.structs.replace(told, progress=progress, waiting=named))


def _result(
    identity: Identity, status: result.Status, received_at: datetime, finished_at: datetime | None
) -> Result:
    return Result(
        job_id=identity.job_id,
        run=identity.run,
        type=identity.job_type,
        partner_id=identity.partner_id,
        correlation_id=identity.correlation_id,
        dry_run=identity.dry_run,
        status=status,
        customers=(),
        received_at=received_at,
        finished_at=finished_at,
    )


def _due_dead_letter(outcomes: Sequence[Outcome]) -> Reason | None:
    for outcome in outcomes:
        if outcome.dead_letter:
            error = _error(outcome)
            return Reason(error["code"], error["message"], outcome.attempt)
    return None


def _first_code(outcomes: Sequence[Outcome]) -> str | None:
    return next((_error(outcome)["code"] for outcome in outcomes if outcome.state == "failed"), None)


def _error(outcome: Outcome) -> dict[str, str]:
    error: dict[str, str] = msgspec.json.decode(outcome.body)["error"]
    return error
