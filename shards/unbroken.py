"""Finding out that a handler left its transaction, on databases whose drivers cannot tell."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from shards import failure_codes
from shards.failures import KnownFailure, failure_of
from shards.guard import OutOfTime, PartConnection
from shards.inbox import BrokenTransaction
from shards.mariadb import mark_stands, set_mark

DIALECTS: Final = frozenset({"mysql", "mariadb"})


class RolledBackByServer(KnownFailure):
    """A deadlock took the whole transaction away, savepoints too, whatever the handler made of that."""

    def __init__(self) -> None:
        super().__init__(failure_of(failure_codes.CONFLICT))


@contextmanager
def unbroken_transaction(connection: PartConnection) -> Iterator[None]:
    """A block that must leave the transaction as it is; two round trips on MariaDB, none elsewhere.

    Raises:
        BrokenTransaction: the transaction was ended inside the block.
        RolledBackByServer: there was a deadlock inside the block, which hid it or raised what came of it.
    """
    if connection.dialect.name not in DIALECTS:
        yield
        return
    set_mark(connection)
    try:
        yield
    except Exception as error:
        if connection.conflict is not None and not isinstance(error, OutOfTime):
            raise RolledBackByServer from error
        raise
    conflict = connection.conflict
    if not mark_stands(connection):
        raise BrokenTransaction if conflict is None else RolledBackByServer
