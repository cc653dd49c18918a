"""Where the databases differ: how a row is claimed and how the end of a transaction is noticed."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Insert, insert, literal_column, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from shards.inbox import inbox

MARIADB_DUPLICATE_ENTRY: Final = 1062
POSTGRESQL_IDLE: Final = 0
POSTGRESQL_IN_ERROR: Final = 3

CLAIMS: Final[Mapping[str, Insert]] = {
    "postgresql": postgresql.insert(inbox).on_conflict_do_nothing().execution_options(preserve_rowcount=True),
    "sqlite": sqlite.insert(inbox).on_conflict_do_nothing().execution_options(preserve_rowcount=True),
}
PLAIN_INSERT: Final = insert(inbox)


class TransactionState(StrEnum):
    """What became of a transaction while a handler had it, as far as the driver knows without asking."""

    OPEN = "open"
    ENDED = "ended"
    ABORTED = "aborted"


def insert_unless_present(connection: Connection, values: Mapping[str, Any]) -> bool:
    """Insert an inbox row; whether it was inserted. Waits for another transaction that has it in hand."""
    claim = CLAIMS.get(connection.dialect.name)
    if claim is not None:
        return connection.execute(claim, values).rowcount == 1
    return _insert_into_mariadb(connection, values)


def _insert_into_mariadb(connection: Connection, values: Mapping[str, Any]) -> bool:
    # INSERT IGNORE would also cut values to their columns' length; ON DUPLICATE KEY cannot tell the two cases
    try:
        connection.execute(PLAIN_INSERT, values)
    except IntegrityError as error:
        if error.orig is not None and error.orig.args[0] == MARIADB_DUPLICATE_ENTRY:
            return False
        raise
    return True


def same_transaction(dialect: str) -> ColumnElement[bool]:
    """A condition that holds of an inbox row only in the transaction that claimed it.

    PostgreSQL keeps with each row the transaction that wrote it, so that a handler's own COMMIT is noticed
    even if another transaction was begun after it. Elsewhere it is always true.
    """
    if dialect == "postgresql":
        return literal_column("xmin") == literal_column("pg_current_xact_id()::xid")
    return true()


def transaction_state(connection: Connection) -> TransactionState:
    """What the driver knows of the transaction, without a round trip. On MariaDB it knows nothing."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        return TransactionState.OPEN if driver.in_transaction else TransactionState.ENDED
    if connection.dialect.name == "postgresql":
        status = driver.info.transaction_status
        if status == POSTGRESQL_IN_ERROR:
            return TransactionState.ABORTED
        return TransactionState.ENDED if status == POSTGRESQL_IDLE else TransactionState.OPEN
    return TransactionState.OPEN
