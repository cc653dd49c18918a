"""Tries: a whole transaction is run again in place where it met a deadlock or a serialization failure."""

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_after_attempt,
    stop_after_delay,
    stop_when_event_set,
    wait_random_exponential,
)

from shards import failure_codes
from shards.failures import Kind, KnownFailure, classify, failure_of

RETRY_SECONDS_MAXIMUM: Final = 5.0
WAIT_SECONDS_FIRST: Final = 0.005
WAIT_SECONDS_MAXIMUM: Final = 0.2

Done = TypeVar("Done")


class TransactionConflict(KnownFailure):
    """Deadlocks or serialization failures went on after several tries in place."""

    def __init__(self) -> None:
        super().__init__(failure_of(failure_codes.CONFLICT_GOES_ON))


class RetryInterrupted(KnownFailure):
    """The worker was stopped between two tries of a transaction: nothing was written, nothing is counted."""

    def __init__(self) -> None:
        super().__init__(failure_of(failure_codes.STOPPED))


class TransactionTries:
    """Runs transactions up to `maximum` times within seconds; `stop` ends the waits between the tries."""

    def __init__(self, dialect: str, stop: threading.Event, maximum: int) -> None:
        self._dialect = dialect
        self._stop = stop
        self._maximum = maximum

    def run(self, transaction: Callable[[], Done]) -> Done:
        """What the transaction returns, which is begun anew by each call.

        Raises what it raises, `TransactionConflict` and `RetryInterrupted`.
        """
        try:
            return transaction()
        except Exception as error:
            if not self._is_conflict(error):
                raise
            return self._run_after(error, transaction)

    def _run_after(self, conflict: Exception, transaction: Callable[[], Done]) -> Done:
        """Try again after a first try that met a conflict; most parts never need what is made here."""
        first = [conflict]

        def attempt() -> Done:
            if first:
                raise first.pop()
            return transaction()

        return self._retrying()(attempt)

    def _retrying(self) -> Retrying:
        return Retrying(
            retry=retry_if_exception(self._is_conflict),
            stop=stop_after_attempt(self._maximum)
            | stop_after_delay(RETRY_SECONDS_MAXIMUM)
            | stop_when_event_set(self._stop),
            wait=wait_random_exponential(multiplier=WAIT_SECONDS_FIRST, max=WAIT_SECONDS_MAXIMUM),
            sleep=sleep_using_event(self._stop),
            retry_error_callback=self._give_up,
        )

    def _is_conflict(self, error: BaseException) -> bool:
        return classify(error, self._dialect).kind is Kind.RETRY_TRANSACTION

    def _give_up(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        raise (RetryInterrupted() if self._stop.is_set() else TransactionConflict()) from error
