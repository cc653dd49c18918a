"""What a handler can leave on a pooled connection, taken away before the next part gets it."""

from typing import Any, Final

from sqlalchemy import Engine, event

SQLITE_TEMPORARY: Final = "SELECT type, name FROM sqlite_temp_master WHERE type IN ('table', 'view')"


def forget_on_return(engine: Engine) -> None:
    """Let each connection of the engine lose its session's state when it goes back to the pool.

    A search path, a role or the rows of a temporary table that outlived their part would be the next
    customer's. A connection that cannot be reset is thrown away.
    """
    if engine.dialect.name == "sqlite":
        event.listen(engine, "reset", _reset_sqlite)


def _reset_sqlite(connection: Any, _record: Any, _state: Any) -> None:
    connection.rollback()
    for kind, name in connection.execute(SQLITE_TEMPORARY).fetchall():
        quoted = name.replace('"', '""')
        connection.execute(f'DROP {kind} IF EXISTS temp."{quoted}"')
