"""What a rejection tells, for the tests that throw anything at a reader or a decoder."""

from collections.abc import Callable

from config.result import ErrorDetail
from handlers import Reject


def details_of(read: Callable[[], object]) -> tuple[ErrorDetail, ...]:
    """The details of the rejection that it ends in; none where it succeeds. Other exceptions go through."""
    try:
        read()
    except Reject as rejection:
        return tuple(rejection.details)
    return ()
