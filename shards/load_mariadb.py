"""Loading blocks into MariaDB and MySQL by LOAD DATA LOCAL, from memory, where both sides allow it."""

from dataclasses import replace
from threading import Lock
from typing import Any, Final, NamedTuple
from weakref import WeakSet

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from shards import load_postgresql
from shards.column_blocks import Columns, CsvText, as_copy_text
from shards.load_target import CannotLoad, Target
from shards.local_rows import offered
from shards.marked_text import OPTIONS, as_marked_text, texts_of

# The server or the driver forbids it: by its setting, or because the client did not offer it.
FORBIDDEN: Final = frozenset({1148, 2068, 3948, 4166})
# As PostgreSQL's COPY reads texts.
COPY_TEXT: Final = "FIELDS TERMINATED BY x'09' ESCAPED BY x'5c' LINES TERMINATED BY x'0a'"

_forbidding: WeakSet[Engine] = WeakSet()
_lock: Final = Lock()


class LoadData(NamedTuple):
    """A block as LOAD DATA takes it: the statement with a place for the file's name, and the file."""

    statement: str
    data: bytes


class MariaDBLoader:
    """LOAD DATA LOCAL; one statement for each block, which is whole before the statement begins.

    The statement makes mere warnings of values and rows that it cannot take. So a warning of any kind, and a
    row too few, make the block one that was not loaded.
    """

    takes_csv = True

    def __init__(self, target: Target) -> None:
        self._target = target
        self.takes_arrays = load_postgresql.has_arrow()

    @staticmethod
    def can_load(connection: Connection) -> bool:
        """Whether nobody has forbidden it yet on this connection's server."""
        with _lock:
            return connection.engine not in _forbidding

    def encode(self, columns: Columns) -> LoadData:
        """The block's statement and bytes."""
        if columns.csv is not None:
            return LoadData(self._csv_statement(columns, columns.csv), columns.csv.data)
        data = as_marked_text(columns)
        if data is not None:
            return LoadData(self._statement(columns, OPTIONS), data)
        if columns.arrays is not None:
            columns = replace(columns, arrays=None, texts=texts_of(columns.arrays))
        return LoadData(self._statement(columns, COPY_TEXT), as_copy_text(columns))

    def _statement(self, columns: Columns, options: str) -> str:
        return self._load_into(options, self._target.columns(columns.names))

    def _csv_statement(self, columns: Columns, csv: CsvText) -> str:
        newline = "0d0a" if csv.data.endswith(b"\r\n") else "0a"
        options = (
            f"FIELDS TERMINATED BY x'{ord(csv.separator):02x}' OPTIONALLY ENCLOSED BY x'22' ESCAPED BY '' "
            f"LINES TERMINATED BY x'{newline}'"
        )
        quote = self._target.quoting.quote
        # beside a SET, a zero in a column that counts is none of the file's unless it is set, too
        set_too = csv.counted if csv.nullable else ()
        variables = {name: f"@shardworker_{place}" for place, name in enumerate((*csv.nullable, *set_too))}
        fields = ", ".join(variables.get(name) or quote(name) for name in columns.names)
        # not by a comparison with the empty text, to which spaces are equal
        values = [
            f"{quote(name)} = IF(LENGTH({variables[name]}), {variables[name]}, NULL)" for name in csv.nullable
        ]
        values += [f"{quote(name)} = {variables[name]}" for name in set_too]
        return self._load_into(options, fields) + (f" SET {', '.join(values)}" if values else "")

    def _load_into(self, options: str, fields: str) -> str:
        return (
            f"LOAD DATA LOCAL INFILE '{{file}}' INTO TABLE {self._target.table} CHARACTER SET utf8mb4 "
            f"{options} ({fields})"
        )

    def send(self, connection: Connection, encoded: LoadData) -> int:
        """Load the block; raises `CannotLoad` where it is forbidden, or where anything was warned of."""
        try:
            with offered(connection.connection.driver_connection, encoded.data) as name:
                statement = encoded.statement.replace("{file}", name, 1)
                result = connection.exec_driver_sql(statement)
        except DBAPIError as error:
            if _code(error) in FORBIDDEN:
                with _lock:
                    _forbidding.add(connection.engine)
                raise CannotLoad from error
            raise
        cursor: Any = result.context.cursor
        if cursor.warning_count:
            raise CannotLoad
        return result.rowcount


def forget(engine: Engine) -> None:
    """Ask the engine's server again: it may allow now what it forbade."""
    with _lock:
        _forbidding.discard(engine)


def _code(error: DBAPIError) -> Any:
    arguments = error.orig.args if error.orig is not None else ()
    return arguments[0] if arguments else None
