"""What an exception out of a part means: the handler's own two, the worker's, and the database's."""

from collections.abc import Mapping
from datetime import timedelta

import structlog

from config.result import BadResult
from handlers.contract import Reject, Retry
from shards.failures import Failure, Kind, classify
from shards.inbox import BrokenTransaction

ALARMING = frozenset({Kind.DEFECT, Kind.BROKEN})

log = structlog.get_logger()


def failure_of(error: BaseException, dialect: str) -> Failure:
    """The failure that an exception stands for. Its message never carries a value of the job.

    A handler's own kind of `Reject` or `Retry` that lacks what they have is an unexpected error.
    """
    match error:
        case Reject(code=str(code), message=str(message), details=tuple(details)):
            return Failure(Kind.PERMANENT, code, message, details)
        case Retry(message=str(message), after=(timedelta() | None) as after):
            message = message or "The handler asked for another try."
            return Failure(Kind.TRANSIENT, "retry_requested", message, after=after)
        case BadResult():
            return Failure(Kind.PERMANENT, "bad_result", str(error))
        case BrokenTransaction():
            return Failure(Kind.BROKEN, "broken_transaction", str(error))
        case _:
            return classify(error, dialect)


def log_unexpected(error: BaseException, failure: Failure, names: Mapping[str, str]) -> None:
    """Write a line about a failure that somebody should look at; `names` tell which part it is."""
    if failure.kind is Kind.OUTSIDE:
        log.warning(
            "part.failed",
            **names,
            error_code=failure.code,
            error_kind=str(failure.kind),
            msg=failure.message,
        )
        return
    if failure.kind in ALARMING:
        report = log.error
    elif failure.code == "handler_error":
        report = log.warning
    else:
        return
    report("part.failed", **names, error_code=failure.code, error_kind=str(failure.kind), exc_info=error)
