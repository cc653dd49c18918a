"""Recording: a part's failure is written to the inbox before it is reported; an outcome found there wins."""

from datetime import timedelta

from config.result import Error, error_of, failed
from config.settings import Retry
from shards.failures import Failure, Kind
from shards.inbox import Outcome
from shards.parts import PartStore
from worker.backoff import full_jitter
from worker.conclusion import Deferral
from worker.job_in_hand import Part
from worker.reports import Ended, Report


def record_failure(store: PartStore, part: Part, failure: Failure, retry: Retry, chance: float) -> Report:
    """Write the failure: as the part's outcome, or as an attempt, after which it is tried again.

    `chance` in [0, 1) picks the delay. Raises as `PartStore` says.
    """
    customer_id = part.request.customer_id
    passing = failure.kind is Kind.TRANSIENT
    error = error_of(failure.code, failure.message, failure.details, retryable=passing)
    match failure.kind:
        case Kind.PERMANENT:
            return Ended(store.fail(part.identity, failed(customer_id, error), dead_letter=False))
        case Kind.BROKEN:
            return Ended(store.fail_broken(part.identity, failed(customer_id, error)))
        case _:
            return _count_attempt(store, part, failure, error, retry, chance)


def _count_attempt(
    store: PartStore, part: Part, failure: Failure, error: Error, retry: Retry, chance: float
) -> Report:
    counted = store.count_attempt(
        part.identity, retry.max_attempts, lambda _: failed(part.request.customer_id, error)
    )
    if isinstance(counted, Outcome):
        return Ended(counted)
    delay = failure.after
    if delay is None:
        delay = full_jitter(counted, retry.base_delay, retry.max_delay, chance)
    return Deferral(max(delay, timedelta()), failure.code, counted)
