"""Lending: handlers of several parts use one connection by turns, and leave nothing on it for the next."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, event

from shards.claims import StatementFailedUnnoticed
from shards.dialects import TransactionState, transaction_state
from shards.guard import PartConnection
from shards.inbox import BrokenTransaction

LEFT_BY_REFLECTION: Final = frozenset({"skip_user_error_events"})
STATEMENTS_REMEMBERED: Final = 1024
REMEMBERED_CHARACTERS_MAXIMUM: Final = 10_000
DIALECTS_WITH_VARIABLES: Final = frozenset({"mysql", "mariadb"})

_PASSING: Final = re.compile(
    r"\s*(?:(?:SELECT|INSERT|UPDATE|DELETE|REPLACE|MERGE|WITH|VALUES|SHOW)\b"
    r"|(?:(?:RELEASE|ROLLBACK TO) )?SAVEPOINT sa_savepoint_\d+\s*$"
    r"|PRAGMA\s+(?:\w+\.)?(?:table|index|foreign_key)_\w+\s*\()",
    re.IGNORECASE,
)
"""What changes rows alone, SQLAlchemy's own savepoints, and what it asks when a handler reflects a table."""

_LASTING: Final = re.compile(
    r"set_config|setseed|advisory_(?:un)?lock|get_lock|release_(?:all_)?locks?|\bpg_(?:temp|settings)\b"
    r"|\binto\s+(?:(?:local|global)\s+)?(?:temp|temporary|unlogged|table)\b"
    r"|\b(?:lastval|currval|last_insert_id|last_insert_rowid)\b|;\s*\S",
    re.IGNORECASE,
)
"""What stays in the session, or is found there."""


@contextmanager
def watched(connection: PartConnection) -> Iterator[None]:
    """A block in which the statements are looked at that come while the connection is lent."""
    event.listen(connection, "before_cursor_execute", _refuse_what_lasts)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", _refuse_what_lasts)


@contextmanager
def lent(connection: PartConnection) -> Iterator[None]:
    """One handler's turn on a connection that is `watched`.

    Raises:
        NotShareable: the handler wanted, or left behind, what the next one would find, or what would end the
            transaction. Nothing of that was done.
        StatementFailedUnnoticed: the handler went on after a statement had failed.
        BrokenTransaction: the transaction is over all the same.
    """
    options = _lasting_options(connection)
    connection.is_lent = True
    try:
        yield
    finally:
        connection.is_lent = False
    if _lasting_options(connection) != options:
        raise connection.refuse("Another execution option of the connection")
    if connection.in_nested_transaction():
        raise connection.refuse("A savepoint that stays open")
    if connection.refused is not None:
        raise connection.refused
    match transaction_state(connection):
        case TransactionState.ENDED:
            raise BrokenTransaction
        case TransactionState.ABORTED:
            raise StatementFailedUnnoticed


def _lasting_options(connection: PartConnection) -> dict[str, Any]:
    options = connection.get_execution_options()
    return {name: value for name, value in options.items() if name not in LEFT_BY_REFLECTION}


def outlives_a_turn(statement: str, dialect: str) -> bool:
    """Whether a statement may change what the next handler finds, its rows apart, or end the transaction.

    Only what is known to change rows alone is let through: no settings, roles, temporary tables, locks of the
    session, variables or last numbers of it, no DDL, no procedures, no two statements in one, no savepoints
    but SQLAlchemy's. What a function of the database's own does inside a query cannot be seen.
    """
    if len(statement) > REMEMBERED_CHARACTERS_MAXIMUM:
        return _outlives(statement, dialect)
    return _outlives_remembered(statement, dialect)


def _outlives(statement: str, dialect: str) -> bool:
    if _PASSING.match(statement) is None or _LASTING.search(statement) is not None:
        return True
    return dialect in DIALECTS_WITH_VARIABLES and "@" in statement


_outlives_remembered: Final = lru_cache(STATEMENTS_REMEMBERED)(_outlives)


def _refuse_what_lasts(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
    assert isinstance(connection, PartConnection)  # noqa: S101 - listened to on such a one alone
    if connection.is_lent and outlives_a_turn(statement, connection.dialect.name):
        raise connection.refuse(f"A statement {statement.split(maxsplit=1)[0]}")
