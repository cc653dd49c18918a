"""Constraints that a database checks at the COMMIT only, checked now, in a transaction that has none."""

from typing import Any, Final

from config.result import ErrorDetail
from shards import failure_codes
from shards.failures import KnownFailure, failure_of
from shards.guard import PartConnection
from shards.trial_marks import ROLL_BACK_TO_MARK

DEFERS: Final = (
    "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE sql LIKE '%DEFERRED%'"
    " UNION ALL SELECT 1 FROM pragma_defer_foreign_keys WHERE defer_foreign_keys)"
)
BROKEN_KEYS: Final = 'SELECT "table", rowid, parent, fkid FROM pragma_foreign_key_check'


class DeferredForeignKey(KnownFailure):
    """A row refers to none, as SQLite would have found at the COMMIT."""

    def __init__(self) -> None:
        details = (ErrorDetail(rule="foreign_key"),)
        super().__init__(failure_of(failure_codes.FOREIGN_KEY, details=details))


def check_deferred(connection: PartConnection) -> None:
    """Check what is deferred, in a transaction that is to be rolled back. MariaDB and MySQL defer nothing.

    Raises:
        SQLAlchemyError, DeferredForeignKey: a constraint is broken, as the COMMIT would have said.
    """
    match connection.dialect.name:
        case "postgresql":
            connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
        case "sqlite":
            _check_sqlite(connection)


def _check_sqlite(connection: PartConnection) -> None:
    if not connection.exec_driver_sql(DEFERS).scalar():
        return
    broken = _broken_keys(connection)
    if not broken:
        return
    # a row that was there before, and refers to none, is not to be blamed on who comes now
    connection.exec_driver_sql(ROLL_BACK_TO_MARK)
    if broken - _broken_keys(connection):
        raise DeferredForeignKey


def _broken_keys(connection: PartConnection) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in connection.exec_driver_sql(BROKEN_KEYS)}
