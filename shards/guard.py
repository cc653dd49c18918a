"""The guard: a transaction that nobody but its owner can end through SQLAlchemy."""

import sqlite3
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from sqlalchemy.engine import Connection, RootTransaction, TwoPhaseTransaction
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import PoolProxiedConnection

from config.points import passed
from shards import failure_codes
from shards.failures import Kind, KnownFailure, classify, failure_of


class TransactionGuarded(Exception):
    """A handler tried to end the part's transaction or to begin another one. Nothing was changed by that."""

    def __init__(self, action: str) -> None:
        super().__init__(
            f"{action} was refused: the part's transaction belongs to the worker, which commits the "
            "handler's writes together with the part's outcome. Leave it open; for a transaction inside it "
            "use `connection.begin_nested()` or `context.session()`."
        )


class ConnectionLost(KnownFailure):
    """The connection was lost inside a transaction, whatever the handler made of it."""

    def __init__(self) -> None:
        super().__init__(failure_of(failure_codes.AWAY, "the connection was lost"))


class OutOfTime(KnownFailure):
    """The part took longer than it may, whatever it made of the error that its last statement got."""

    def __init__(self) -> None:
        super().__init__(failure_of(failure_codes.OUT_OF_TIME))


class NotShareable(Exception):
    """A handler wanted what outlives its turn on a connection that others use after it, before the COMMIT."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"{wanted} cannot be had in a transaction that is shared: the part runs alone.")


class PartConnection(Connection):
    """A connection on which a second transaction is refused in words that a handler's author understands.

    It also remembers the last error that its own database gave it (`met`), and the last deadlock or
    serialization failure (`conflict`). While `is_lent`, a handler has it whose transaction is shared with
    other parts: the driver's connection is refused then, and `refused` says what was.

    On SQLite it knows the `driver`'s connection that was in a transaction when the last statement began, and
    the error that ended that (`ended_by`), after which no statement is sent any more.
    """

    _own_error: BaseException | None = None
    conflict: BaseException | None = None
    ended_by: BaseException | None = None
    driver: sqlite3.Connection | None = None
    is_lent: bool = False
    refused: NotShareable | None = None

    @property
    def connection(self) -> PoolProxiedConnection:
        """The driver's connection, as the pool hands it out; raises `NotShareable` while it is lent."""
        if self.is_lent:
            raise self.refuse("The driver's own connection")
        return super().connection

    def refuse(self, wanted: str) -> NotShareable:
        """The error for what cannot be shared; remembered, whatever a handler makes of it."""
        self.refused = NotShareable(wanted)
        return self.refused

    def note_error(self, error: BaseException) -> None:
        """Remember an error of the driver; the engine's events call this."""
        self._own_error = error
        if classify(error, self.dialect.name).kind is Kind.RETRY_TRANSACTION:
            self.conflict = error

    def met(self, error: BaseException) -> bool:
        """Whether the error came from this connection: its last one, or any once the connection is lost."""
        own = self._own_error
        return self.invalidated or (own is not None and own in {error, getattr(error, "orig", None)})

    def begin(self) -> RootTransaction:
        """Begin a transaction; raises `TransactionGuarded` inside a guarded one."""
        self._refuse_inside_guard("begin()")
        return super().begin()

    def begin_twophase(self, xid: object | None = None) -> TwoPhaseTransaction:
        """Begin a two-phase transaction; raises `TransactionGuarded` inside a guarded one."""
        self._refuse_inside_guard("begin_twophase()")
        return super().begin_twophase(xid)

    def close(self) -> None:
        """Give the connection back; raises `TransactionGuarded` inside a guarded transaction."""
        self._refuse_inside_guard("close()")
        super().close()

    def _refuse_inside_guard(self, action: str) -> None:
        if isinstance(self.get_transaction(), GuardedTransaction):
            raise TransactionGuarded(action)


class GuardedTransaction(RootTransaction):
    """The root transaction of its connection, which `commit`, `rollback` and `close` leave as it is.

    Every way to end a transaction through SQLAlchemy comes here: the connection's own methods, its `close`,
    and an ORM session that was joined to it.
    """

    __slots__ = ()

    def commit(self) -> NoReturn:
        """Refused: raises `TransactionGuarded`."""
        raise TransactionGuarded("commit()")

    def rollback(self) -> NoReturn:
        """Refused: raises `TransactionGuarded`."""
        raise TransactionGuarded("rollback()")

    def close(self) -> NoReturn:
        """Refused: raises `TransactionGuarded`."""
        raise TransactionGuarded("close()")

    def commit_as_owner(self) -> None:
        """Commit. A connection whose COMMIT failed is thrown away: what it holds is not known."""
        try:
            super().commit()
        except BaseException:
            self.connection.invalidate()
            super().close()
            raise

    def roll_back_as_owner(self) -> None:
        """Roll back."""
        super().rollback()


@contextmanager
def guarded_transaction(connection: PartConnection) -> Iterator[None]:
    """One transaction around the block: committed at its end, rolled back when it raises.

    Raises:
        ConnectionLost: the block raised something else than the lost connection's own error, which says
            nothing about the part: the transaction is gone with the connection. `OutOfTime` stays as it is.
    """
    with _rolled_back_on_error(connection) as transaction:
        yield
    passed("before_commit")
    transaction.commit_as_owner()
    passed("after_commit")


@contextmanager
def trial_transaction(connection: PartConnection) -> Iterator[None]:
    """One transaction around the block, rolled back at its end however it ends.

    Raises:
        ConnectionLost: as `guarded_transaction`.
    """
    with _rolled_back_on_error(connection) as transaction:
        yield
    transaction.roll_back_as_owner()


@contextmanager
def _rolled_back_on_error(connection: PartConnection) -> Iterator[GuardedTransaction]:
    transaction = GuardedTransaction(connection)
    try:
        yield transaction
    except BaseException as error:
        lost = connection.invalidated
        # What the handler's variables hold lives as long as its error: a stream or a COPY half-way, which a
        # driver would wait for without end, or refuse the ROLLBACK for.
        traceback.clear_frames(error.__traceback__)
        transaction.roll_back_as_owner()
        if lost and isinstance(error, Exception) and not _tells_why(error):
            raise ConnectionLost from error
        raise


def _tells_why(error: Exception) -> bool:
    return isinstance(error, OutOfTime) or (isinstance(error, DBAPIError) and error.connection_invalidated)
