"""Rows of Python values as columns, where their values surely mean to a loader what they mean to a driver."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Table, TableClause

from shards.column_blocks import Columns
from shards.column_texts import values_as_texts
from shards.conflicts import Conflict
from shards.guard import PartConnection
from shards.load import BlockLoader, open_loader

ROWS_MINIMUM: Final = 50
"""For fewer rows an INSERT costs less."""


class RowLoader:
    """Loads chunks of rows into one table the fastest way, as far as that can be done."""

    def __init__(self, connection: Connection, table: TableClause, conflict: Conflict | None = None) -> None:
        self._connection = connection
        self._table = table
        self._conflict = conflict
        self._loader: BlockLoader | None = None
        self._opened = False
        self.was_refused = False
        """Whether the database saw the rows of the last call, and did not take them."""

    def load(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Load the rows; whether they are there. If not, they have to be inserted.

        Raises:
            SQLAlchemyError, KnownFailure: a failure that no row is to blame for.
        """
        self.was_refused = False
        if len(rows) < ROWS_MINIMUM or (loader := self._open()) is None:
            return False
        columns = _as_columns(rows, self._table, loader)
        encoded = None if columns is None else loader.encode(columns)
        loaded = encoded is not None and loader.load(self._connection, encoded, len(rows))
        self.was_refused = encoded is not None and not loaded
        return loaded

    def _open(self) -> BlockLoader | None:
        if not self._opened:
            self._opened = True
            if can_load(self._connection) and isinstance(self._table, Table) and not _has_own(self._table):
                types = {column.name: column.type for column in self._table.columns}
                self._loader = open_loader(self._connection, self._table, types, self._conflict)
        return self._loader


def can_load(connection: Connection) -> bool:
    """Whether blocks may be loaded on this connection: not in a transaction that parts share."""
    return not (isinstance(connection, PartConnection) and connection.is_lent)


def _has_own(table: Table) -> bool:
    # SQLAlchemy itself would fill these columns, or call a column in another way than the database
    return any(column.default is not None or column.key != column.name for column in table.columns)


def _as_columns(rows: Sequence[Mapping[str, Any]], table: TableClause, loader: BlockLoader) -> Columns | None:
    names = tuple(rows[0])
    if not names or any(row.keys() != rows[0].keys() for row in rows):
        return None
    texts = []
    for name in names:
        rule = loader.rules.get(name)
        values = None if rule is None else values_as_texts([row[name] for row in rows], rule.kind)
        checked = None if rule is None or values is None else rule.checked(values)
        if checked is None or (None in checked and table.c[name].autoincrement is True):
            return None
        texts.append(checked)
    return Columns(names, len(rows), texts)
