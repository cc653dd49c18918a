"""A handler's work inside its part's transaction: whether an error of it tells of the part's own shard."""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

from shards import failure_codes
from shards.failures import Kind, KnownFailure, classify, failure_of
from shards.guard import PartConnection
from shards.unbroken import unbroken_transaction

WAITING_KINDS: Final = frozenset({Kind.AWAY, Kind.BUSY})

Work = Callable[[Connection], bytes]
"""What is done in the transaction: the body of the part's outcome."""


class ForeignFailure(KnownFailure):
    """The handler met a database that is away or busy, and it was not this shard."""

    def __init__(self, error: Exception) -> None:
        super().__init__(failure_of(failure_codes.HANDLER, f"{type(error).__name__} of another database"))


def worked(work: Work, connection: PartConnection) -> bytes:
    """What the work returns, which must leave the connection's transaction as it is.

    Raises what the work raises, `ForeignFailure`, and as `unbroken_transaction`.
    """
    try:
        with unbroken_transaction(connection):
            return work(connection)
    except Exception as error:
        kind = classify(error, connection.dialect.name).kind
        if kind in WAITING_KINDS and not connection.met(error):
            raise ForeignFailure(error) from error
        raise
