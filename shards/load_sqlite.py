"""Loading blocks into SQLite: one prepared statement for all rows of a block."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Dialect
from sqlalchemy.types import TypeEngine

from shards.column_blocks import Columns
from shards.column_texts import Kind, Texts, text_rule
from shards.conflicts import Conflict
from shards.load_target import CannotLoad, Target

Convert = Callable[[Any], Any]

READERS: Final[Mapping[Kind, Convert]] = MappingProxyType(
    {
        "integer": int,
        "decimal": Decimal,
        "float": float,
        "boolean": {"true": True, "True": True, "1": True, "false": False, "False": False, "0": False}.get,
        "date": date.fromisoformat,
        "datetime": datetime.fromisoformat,
        "zoned": datetime.fromisoformat,
        "time": time.fromisoformat,
    }
)


class Rows(NamedTuple):
    """A block as the driver takes it."""

    statement: str
    values: list[tuple[Any, ...]]


class SQLiteLoader:
    """An INSERT for each block; values are bound as SQLAlchemy binds them."""

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
            name: _converters(rule.kind, type_, dialect)
            for name, type_ in column_types.items()
            if (rule := text_rule(type_, "sqlite")) is not None
        }

    def encode(self, columns: Columns) -> Rows:
        """The block's statement and rows."""
        if columns.arrays is not None or len(columns.names) != len(columns.texts):
            raise CannotLoad
        values = [
            _converted(texts, self._converters[name])
            for name, texts in zip(columns.names, columns.texts, strict=True)
        ]
        places = ", ".join("?" * len(columns.names))
        names = self._target.columns(columns.names)
        statement = f"INSERT INTO {self._target.table} ({names}) VALUES ({places})"  # noqa: S608 - all quoted
        if self._conflict is not None:
            statement += f" {self._conflict.clause(self._target, 'sqlite', columns.names)}"
        return Rows(statement, list(zip(*values, strict=True)))

    def send(self, connection: Connection, encoded: Rows) -> int:
        """Insert the block."""
        connection.exec_driver_sql(encoded.statement, encoded.values)
        return len(encoded.values)


def _converters(kind: Kind, type_: TypeEngine[Any], dialect: Dialect) -> list[Convert]:
    bind = type_.dialect_impl(dialect).bind_processor(dialect)
    return [convert for convert in (READERS.get(kind), bind) if convert is not None]


def _converted(texts: Texts, converters: Sequence[Convert]) -> Sequence[Any]:
    if not converters:
        return texts
    present: Any = [text for text in texts if text is not None] if None in texts else texts
    for convert in converters:
        present = map(convert, present)
    if None not in texts:
        return list(present)
    return [None if text is None else next(present) for text in texts]
