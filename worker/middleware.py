"""The middleware around a part: on the worker thread, outside the transaction, which the last link opens."""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import structlog

from config.codes import CODES
from handlers.middleware import Middleware, PartEnvelope
from shards.failures import Failure, Kind, KnownFailure
from shards.guard import OutOfTime
from shards.handler_work import WAITING_KINDS, ForeignFailure
from shards.inbox import ContentConflict, InboxFault, Outcome, PlacementStale, Superseded
from shards.parts import StartedBefore
from worker.failures import failure_of

VERDICTS: Final = (ContentConflict, Superseded, PlacementStale, InboxFault, StartedBefore)
"""What only the inbox can say of a part."""

REPLACEABLE_KINDS: Final = frozenset({Kind.PERMANENT, Kind.TRANSIENT})

log = structlog.get_logger()


class PartNotRun(KnownFailure):
    """A link came back without having run the part and without an error: nobody knows what that means."""

    def __init__(self) -> None:
        super().__init__(Failure(Kind.DEFECT, "part_not_run", CODES["part_not_run"]))


class PassageOver(Exception):
    """`next` was called when the part's turn was over, or on another thread: nothing was done.

    A thread that is not the part's own is not looked after: nobody would end a handler that hangs on it.
    """

    def __init__(self) -> None:
        super().__init__(
            "`next` was called when the part's turn was over, or on another thread: call it before you "
            "return, on the thread on which you are called."
        )


def pass_through(
    links: Sequence[Middleware],
    envelope: PartEnvelope,
    transaction: Callable[[], Outcome],
    dialect: str,
    names: Mapping[str, str],
) -> Outcome:
    """The outcome of the transaction, run inside the links, the first of them outermost.

    Whatever the transaction raises about its shard or the inbox comes through as it is. What a link raises by
    itself never tells of the shard: another database of its own that is away or busy is a `ForeignFailure`.

    Args:
        links: The middleware, in the order of the configuration.
        envelope: The part, as the first link gets it.
        transaction: Runs the part; may be called again after a failure of the handler's.
        dialect: The shard's, by which errors are told apart.
        names: What a line of the log about the part names.
    """
    passage = _Passage(links, transaction, dialect, names)
    try:
        return passage.go(0, envelope)
    except Exception as error:
        if passage.raised(error) or not _tells_of_a_shard(error, dialect):
            raise
        raise ForeignFailure(error) from error
    finally:
        passage.is_over = True


class _Passage:
    """One run of a part through its links. What the transaction came to stands, whatever they make of it."""

    def __init__(
        self,
        links: Sequence[Middleware],
        transaction: Callable[[], Outcome],
        dialect: str,
        names: Mapping[str, str],
    ) -> None:
        self._links = links
        self._transaction = transaction
        self._dialect = dialect
        self._names = names
        self._outcome: Outcome | None = None
        self._failure: BaseException | None = None
        self._last_error: BaseException | None = None
        self._thread = threading.get_ident()
        self.is_over = False

    def go(self, position: int, envelope: PartEnvelope) -> Outcome:
        """Go on at this link, behind the last one with the transaction."""
        if self.is_over or threading.get_ident() != self._thread:
            raise PassageOver
        if position == len(self._links):
            return self._transact()
        link = self._links[position]
        raised: BaseException | None = None
        try:
            link(envelope, partial(self.go, position + 1))
        except BaseException as error:  # noqa: BLE001 - a link may raise anything, as a handler may
            raised = error
        return self._result(link, raised)

    def raised(self, error: BaseException) -> bool:
        """Whether this is the error that the transaction ended with."""
        return error is self._failure

    def _transact(self) -> Outcome:
        if self._outcome is None:
            self._raise_if_final()
            try:
                self._outcome = self._transaction()
            except BaseException as error:
                self._failure = self._last_error = error
                raise
        return self._outcome

    def _result(self, link: Middleware, raised: BaseException | None) -> Outcome:
        """The outcome that is stored, else the error that counts: not what the link made of them."""
        if self._outcome is not None:
            if raised is not None:
                self._log(link, "It raised when the part had its outcome, which stands.", raised)
            return self._outcome
        self._raise_if_final()
        error = raised or self._last_error
        if error is None:
            self._log(link, "It returned without calling `next` and without raising: an attempt is counted.")
            error = PartNotRun()
        self._last_error = error
        raise error

    def _raise_if_final(self) -> None:
        """Raise the transaction's error again where no link can answer for it: of the shard or the inbox."""
        error = self._failure
        if error is not None and (
            isinstance(error, (*VERDICTS, OutOfTime))
            or failure_of(error, self._dialect).kind not in REPLACEABLE_KINDS
        ):
            raise error

    def _log(self, link: Middleware, text: str, error: BaseException | None = None) -> None:
        log.error("part.middleware_failed", **self._names, middleware=_name(link), msg=text, exc_info=error)


def _tells_of_a_shard(error: Exception, dialect: str) -> bool:
    return isinstance(error, VERDICTS) or failure_of(error, dialect).kind in WAITING_KINDS


def _name(link: Middleware) -> str:
    """`package.module.Name` of a link, for the log."""
    named = link if hasattr(link, "__qualname__") else type(link)
    return f"{named.__module__}.{named.__qualname__}"
