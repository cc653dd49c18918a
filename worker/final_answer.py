"""The final answer to a job whose parts have all ended, made of their stored outcomes."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from config.result import Result, encode_result
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
    result = Result(
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
    body = encode_result(result, tuple(outcome.body for outcome in outcomes))
    return Answer(status, body, _due_dead_letter(outcomes), _first_code(outcomes))


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
