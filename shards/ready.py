"""Statements that every part needs: compiled once for a database, then handed straight to its driver."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Dialect, Insert, Update

from shards.postgresql import execute_with_opening

SCHEMA_MARK: Final = "shardworker_schema_mark"
COMPILED_MAXIMUM: Final = 4096

Send = Callable[[Any, str, Any], None]


class ReadyStatement(NamedTuple):
    """A statement as text, with `SCHEMA_MARK` where a schema belongs.

    `names` are its parameters' in order; None where the driver takes parameters by name.
    """

    text: str
    names: tuple[str, ...] | None
    constants: Mapping[str, Any]

    def parameters(self, values: Mapping[str, Any]) -> Any:
        """The values in the form that the driver takes."""
        every = {**self.constants, **values}
        return every if self.names is None else tuple(every[name] for name in self.names)


def execute_ready(connection: Connection, statement: Insert | Update, values: Mapping[str, Any]) -> int:
    """Execute a statement with values for its parameters and columns; how many rows it changed.

    It costs a fraction of `connection.execute`, for nothing is looked up or made for the statement. The
    values go to the driver as they are: they must be of types that every driver takes for their columns.
    Errors are those of `connection.execute`.
    """
    ready = _compile(connection.dialect, statement, tuple(values))
    text = ready.text.replace(f"{SCHEMA_MARK}.", _prefix(connection))
    send = execute_with_opening if connection.dialect.name == "postgresql" else send_alone
    cursor = connection.connection.cursor()
    try:
        send(cursor, text, ready.parameters(values))
        changed: int = cursor.rowcount
    except BaseException as error:  # noqa: BLE001 - as SQLAlchemy does, which tells here what it means
        connection._handle_dbapi_exception(error, text, None, cursor, None)  # noqa: SLF001 - no public way
    cursor.close()
    return changed


def send_alone(cursor: Any, text: str, parameters: Any) -> None:
    """Execute the text as it is."""
    cursor.execute(text, parameters)


def _prefix(connection: Connection) -> str:
    schema = connection.get_execution_options().get("schema_translate_map", {}).get(None)
    return "" if schema is None else f"{connection.dialect.identifier_preparer.quote_schema(schema)}."


@lru_cache(COMPILED_MAXIMUM)
def _compile(dialect: Dialect, statement: Insert | Update, columns: tuple[str, ...]) -> ReadyStatement:
    compiled = statement.compile(
        dialect=dialect,
        column_keys=list(columns),
        schema_translate_map={None: SCHEMA_MARK},
        render_schema_translate=True,
    )
    constants = {name: value for name, value in compiled.params.items() if name not in columns}
    names = tuple(compiled.positiontup or ()) if compiled.positional else None
    return ReadyStatement(str(compiled), names, constants)
