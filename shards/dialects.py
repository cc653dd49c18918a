"""Where the databases differ: how a row is claimed and how the end of a transaction is noticed."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Insert, bindparam, insert, literal_column, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from shards.directory import Placement
from shards.inbox import inbox
from shards.placement_rows import active_row
from shards.ready import execute_ready

MARIADB_DUPLICATE_ENTRY: Final = 1062
POSTGRESQL_IDLE: Final = 0
POSTGRESQL_IN_ERROR: Final = 3

CLAIM_COLUMNS: Final = tuple(
    column.name for column in inbox.columns if column.name not in {"outcome", "finished_at"}
)


class TransactionState(StrEnum):
    """What became of a transaction while a handler had it, as far as the driver knows without asking."""

    OPEN = "open"
    ENDED = "ended"
    ABORTED = "aborted"


def insert_unless_present(
    connection: Connection, values: Mapping[str, Any], placement: Placement | None
) -> bool:
    """Insert an inbox row; whether it was inserted. Waits for another transaction that has it in hand.

    With a `placement`, it is inserted only where the customer is active with that epoch, which then holds
    until the transaction ends.
    """
    claim = _CLAIMS[connection.dialect.name, placement is not None]
    new = {f"new_{name}": values[name] for name in CLAIM_COLUMNS}
    if placement is not None:
        new |= {"of_customer": placement.customer_id, "of_epoch": placement.epoch}
    try:
        return execute_ready(connection, claim, new) == 1
    except IntegrityError as error:
        if not _is_mariadb_duplicate(error):
            raise
        _let_go_of_duplicate(connection)
        return False


def _claim_statement(dialect: str, *, placed: bool) -> Insert:
    new = {name: bindparam(f"new_{name}", type_=inbox.c[name].type) for name in CLAIM_COLUMNS}
    inserts = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
    statement = inserts.get(dialect, insert)(inbox)
    if placed:
        where_active = select(*new.values()).where(active_row())
        where_active = where_active.with_for_update(read=True, key_share=True)
        statement = statement.from_select(CLAIM_COLUMNS, where_active, include_defaults=False)
    else:
        statement = statement.values(new)
    # MariaDB's INSERT IGNORE would also cut values to their columns' length, and its ON DUPLICATE KEY cannot
    # tell the two cases: there the error is the answer
    if isinstance(statement, postgresql.Insert | sqlite.Insert):
        statement = statement.on_conflict_do_nothing()
    return statement


_CLAIMS: Final[Mapping[tuple[str, bool], Insert]] = {
    (dialect, placed): _claim_statement(dialect, placed=placed)
    for dialect in ("postgresql", "sqlite", "mysql", "mariadb")
    for placed in (False, True)
}


def _is_mariadb_duplicate(error: IntegrityError) -> bool:
    return error.orig is not None and error.orig.args[:1] == (MARIADB_DUPLICATE_ENTRY,)


def _let_go_of_duplicate(connection: Connection) -> None:
    """Begin the transaction anew: its only statement got a shared lock on the row that was in its way.

    Whoever keeps that and then asks for the row alone, deadlocks with each other one that does the same.
    """
    connection.exec_driver_sql("ROLLBACK")


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
