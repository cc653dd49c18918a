"""What an exception out of a part means: the handler's own two, the worker's, and the database's."""

from datetime import timedelta

from config.result import BadResult
from handlers.contract import Reject, Retry
from shards.failures import Failure, Kind, classify
from shards.inbox import BrokenTransaction

ALARMING = frozenset({Kind.DEFECT, Kind.BROKEN})


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
