"""Loading blocks into SQLite: statements of many rows each, for every statement costs more than its rows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Dialect
from sqlalchemy.types import TypeEngine

from shards import load_postgresql
from shards.column_blocks import Columns
from shards.column_texts import text_rule
from shards.conflicts import COUNTED, Conflict
from shards.load_target import CannotLoad, Target
from shards.marked_text import texts_in_rows
from shards.sqlite_values import converted, converter

ROWS_TOGETHER: Final = (2048, 128, 8, 1)
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
        rules = {name: text_rule(type_, "sqlite") for name, type_ in column_types.items()}
        # arrays do not keep a moment's zone, whose clock is what SQLAlchemy binds
        has_zones = any(rule is not None and rule.kind == "zoned" for rule in rules.values())
        self.takes_arrays = load_postgresql.has_arrow() and not has_zones
        self._converters = {
            name: converter(rule.kind, column_types[name], dialect)
            for name, rule in rules.items()
            if rule is not None
        }

    def encode(self, columns: Columns) -> Encoded:
        """The block's statements and rows."""
        if columns.csv is not None:
            raise CannotLoad
        width = len(columns.names)
        values: list[Any] = texts_in_rows(columns)
        for place, name in enumerate(columns.names):
            convert = self._converters[name]
            if convert is not None:
                values[place::width] = converted(values[place::width], convert)
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
