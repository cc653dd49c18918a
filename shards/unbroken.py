"""Finding out that a handler left its transaction, on databases whose drivers cannot tell."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from shards import failure_codes
from shards.claims import StatementFailedUnnoticed
from shards.guard import PartConnection
from shards.inbox import BrokenTransaction
from shards.mariadb import mark_stands, number_of, set_mark

DIALECTS: Final = frozenset({"mysql", "mariadb"})


@contextmanager
def unbroken_transaction(connection: PartConnection) -> Iterator[None]:
    """A block that must leave the transaction as it is; two round trips on MariaDB, none elsewhere.

    Raises:
        BrokenTransaction: the transaction was ended inside the block.
        StatementFailedUnnoticed: the server rolled it back, by a deadlock that the block went on after.
    """
    if connection.dialect.name not in DIALECTS:
        yield
        return
    set_mark(connection)
    yield
    last_error = connection.last_error
    if mark_stands(connection):
        return
    raise StatementFailedUnnoticed if _rolls_back(last_error) else BrokenTransaction


def _rolls_back(error: BaseException | None) -> bool:
    return error is not None and failure_codes.by_mariadb_errno(number_of(error)) is failure_codes.CONFLICT
