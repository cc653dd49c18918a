"""Loading blocks into SQLite: statements of many rows each, for every statement costs more than its rows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Dialect
from sqlalchemy.types import TypeEngine

from shards.column_blocks import Columns
from shards.column_texts import text_rule
from shards.conflicts import COUNTED, Conflict
from shards.load_target import CannotLoad, Target
from shards.sqlite_values import converted, converter

ROWS_TOGETHER: Final = (1024, 32, 1)
"""How many rows a statement has: as many as there are left, but few kinds of statements, which are kept."""
VALUES_MAXIMUM: Final = 32_766
"""What SQLite takes in one statement, if it was not made otherwise."""


class Rows(NamedTuple):
    """Rows as the driver takes them: a statement, and the values for each time that it is executed."""

    statement: str
    values: Sequence[tuple[Any, ...]]


class Encoded(NamedTuple):
    """A block, and how many rows it has."""

    parts: Sequence[Rows]
    row_count: int


class SQLiteLoader:
    """INSERTs for each block; values are bound as SQLAlchemy binds them."""

    takes_arrays = False
    takes_csv = False

    def __init__(
        self,
        target: Target,
        column_types: Mapping[str, TypeEngine[Any]],
        dialect: Dialect,
        conflict: Conflict | None,
    ) -> None:
        self._target = target
        self._conflict = conflict
        self._converters = {
            name: converter(rule.kind, type_, dialect)
            for name, type_ in column_types.items()
            if (rule := text_rule(type_, "sqlite")) is not None
        }

    def encode(self, columns: Columns) -> Encoded:
        """The block's statements and rows."""
        if columns.arrays is not None or len(columns.names) != len(columns.texts):
            raise CannotLoad
        width = len(columns.names)
        values: list[Any] = [None] * (width * columns.count)
        for place, (name, texts) in enumerate(zip(columns.names, columns.texts, strict=True)):
            values[place::width] = converted(texts, self._converters[name])
        return Encoded(list(self._parts(columns.names, values)), columns.count)

    def send(self, connection: Connection, encoded: Encoded) -> int:
        """Insert the block."""
        taken = 0
        for part in encoded.parts:
            done = connection.exec_driver_sql(part.statement, part.values, execution_options=COUNTED)
            taken += done.rowcount
        if self._conflict is not None:
            self._conflict.note(encoded.row_count, taken)
        return encoded.row_count

    def _parts(self, names: Sequence[str], values: Sequence[Any]) -> Iterator[Rows]:
        begin, width = 0, len(names)
        for rows in ROWS_TOGETHER:
            step = rows * width
            if step > VALUES_MAXIMUM and rows > 1:
                continue
            end = begin + (len(values) - begin) // step * step
            if end > begin:
                parameters = [tuple(values[at : at + step]) for at in range(begin, end, step)]
                yield Rows(self._statement(names, rows), parameters)
            begin = end

    def _statement(self, names: Sequence[str], rows: int) -> str:
        row = f"({', '.join('?' * len(names))})"
        columns, places = self._target.columns(names), ", ".join([row] * rows)
        statement = f"INSERT INTO {self._target.table} ({columns}) VALUES {places}"  # noqa: S608 - all quoted
        if self._conflict is None:
            return statement
        return f"{statement} {self._conflict.clause(self._target, 'sqlite', names)}"
