"""What a handler can leave on a pooled connection, taken away before the next part gets it."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, Engine, event

SQLITE_TEMPORARY: Final = "SELECT type, name FROM sqlite_temp_master WHERE type IN ('table', 'view')"

ROLE: Final = re.compile(r"\s*SET\s+ROLE\b", re.IGNORECASE)
NOT_TAKEN_BACK: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        "sqlite": re.compile(
            r"\s*(?:PRAGMA\s+(?!(?:\w+\.)?(?:table|index|foreign_key)_)|ATTACH\b|DETACH\b|CREATE\s+TEMP)",
            re.IGNORECASE,
        ),
        "mysql": ROLE,
        "mariadb": ROLE,
    }
)
"""Statements whose effect no reset of a session takes back: the connection is closed after them."""
SPENT: Final = "shardworker_spent"

OWN_SETTINGS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "sqlite": ("row_factory", "text_factory"),
        "postgresql": ("row_factory", "cursor_factory"),
        "mysql": ("cursorclass",),
        "mariadb": ("cursorclass",),
    }
)
"""What a driver's connection itself knows of how it gives rows: the inbox's, too."""
FIRST_SETTINGS: Final = "shardworker_first_settings"


def forget_on_return(engine: Engine) -> None:
    """Let each connection of the engine lose its session's state when it goes back to the pool.

    A search path, a role or the rows of a temporary table that outlived their part would be the next
    customer's. A connection that cannot be reset is thrown away.
    """
    _restore_own_settings(engine, OWN_SETTINGS[engine.dialect.name])
    if engine.dialect.name == "sqlite":
        event.listen(engine, "reset", _reset_sqlite)
    if (lasting := NOT_TAKEN_BACK.get(engine.dialect.name)) is not None:
        _close_after(engine, lasting)


def _restore_own_settings(engine: Engine, names: tuple[str, ...]) -> None:
    def note(connection: Any, record: Any) -> None:
        record.info[FIRST_SETTINGS] = [(name, getattr(connection, name)) for name in names]

    def restore(connection: Any, record: Any, _state: Any) -> None:
        for name, value in record.info[FIRST_SETTINGS]:
            setattr(connection, name, value)

    event.listen(engine, "connect", note)
    event.listen(engine, "reset", restore)


def _close_after(engine: Engine, lasting: re.Pattern[str]) -> None:
    def note(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if lasting.match(statement) is not None:
            connection.info[SPENT] = True

    def close(_connection: Any, record: Any) -> None:
        if record.info.get(SPENT, False):
            record.invalidate()

    event.listen(engine, "before_cursor_execute", note)
    event.listen(engine, "checkin", close)


def _reset_sqlite(connection: Any, _record: Any, _state: Any) -> None:
    connection.rollback()
    for kind, name in connection.execute(SQLITE_TEMPORARY).fetchall():
        quoted = name.replace('"', '""')
        connection.execute(f'DROP {kind} IF EXISTS temp."{quoted}"')
