"""Marks: whether a trial's transaction is still the one that was begun, with no inbox to tell it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from shards.dialects import TransactionState, transaction_state
from shards.failures import Kind, classify
from shards.guard import OutOfTime, PartConnection
from shards.inbox import BrokenTransaction

MARK: Final = "shardworker_trial"
ROLL_BACK_TO_MARK: Final = f"ROLLBACK TO SAVEPOINT {MARK}"
TRANSACTION_ID: Final = "SELECT CAST(pg_current_xact_id() AS text)"
FATE: Final = "SELECT pg_xact_status(CAST(%(id)s AS xid8))"
COMMITTED: Final = "committed"
GOES_ON: Final = frozenset({Kind.PERMANENT, Kind.DEFECT})
"""The kinds of failures after which a transaction is still there."""


@contextmanager
def unbroken_trial(connection: PartConnection) -> Iterator[None]:
    """A block that must leave the transaction as it is, which is to be rolled back afterwards.

    PostgreSQL's transactions have ids; elsewhere a savepoint goes with its transaction, by a ROLLBACK too.

    Raises:
        BrokenTransaction: the transaction was ended inside the block, whatever it raised after that.
    """
    if connection.dialect.name == "postgresql":
        with _of_one_id(connection):
            yield
    else:
        with _of_one_mark(connection):
            yield


@contextmanager
def _of_one_id(connection: PartConnection) -> Iterator[None]:
    begun = connection.exec_driver_sql(TRANSACTION_ID).scalar_one()
    try:
        yield
    except BaseException as error:
        if _has_committed(connection, begun):
            raise BrokenTransaction from error
        raise
    is_open = transaction_state(connection) is TransactionState.OPEN
    if not is_open or connection.exec_driver_sql(TRANSACTION_ID).scalar_one() != begun:
        raise BrokenTransaction


def _has_committed(connection: PartConnection, transaction_id: str) -> bool:
    if connection.invalidated:
        return False
    try:
        connection.exec_driver_sql("ROLLBACK")
        fate: str = connection.exec_driver_sql(FATE, {"id": transaction_id}).scalar_one()
    except SQLAlchemyError:
        return False  # the error that came first says more
    return fate == COMMITTED


@contextmanager
def _of_one_mark(connection: PartConnection) -> Iterator[None]:
    connection.exec_driver_sql(f"SAVEPOINT {MARK}")
    try:
        yield
    except BaseException as error:
        if _leaves_open(connection, error) and not _is_marked(connection):
            raise BrokenTransaction from error
        raise
    if not _is_marked(connection):
        raise BrokenTransaction


def _leaves_open(connection: PartConnection, error: BaseException) -> bool:
    """Whether the transaction goes on after an error: some are such that the database itself ends it."""
    if connection.invalidated or connection.conflict is not None or isinstance(error, OutOfTime):
        return False
    return not connection.met(error) or classify(error, connection.dialect.name).kind in GOES_ON


def _is_marked(connection: PartConnection) -> bool:
    try:
        connection.exec_driver_sql(f"RELEASE SAVEPOINT {MARK}")
    except DBAPIError:
        return False
    return True
