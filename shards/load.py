"""Loading blocks of rows the fastest way that a database has; what it refuses is left to the slow way."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sqlalchemy import Connection, Table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import TypeEngine

from shards.column_blocks import Columns
from shards.column_texts import TextRule, text_rule
from shards.conflicts import Conflict
from shards.failures import Kind, KnownFailure, classify
from shards.load_mariadb import MariaDBLoader
from shards.load_postgresql import PostgreSQLLoader
from shards.load_sqlite import SQLiteLoader
from shards.load_staged import StagedLoader
from shards.load_target import CannotLoad, Target


class Loader(Protocol):
    """A way to load blocks into one table on one kind of database."""

    takes_arrays: bool
    """Whether blocks of pyarrow's arrays can be loaded."""

    takes_csv: bool
    """Whether blocks of CSV can be loaded as they are."""

    def encode(self, columns: Columns) -> Any:
        """The block as `send` takes it; needs no connection, and may be called from any thread.

        Raises:
            CannotLoad: the block has to go the slow way.
        """

    def send(self, connection: Connection, encoded: Any) -> int:
        """Send the block inside the connection's transaction; how many rows the database took.

        Raises:
            CannotLoad: the database does not load this way; it goes the slow way.
            SQLAlchemyError, KnownFailure: any other failure.
        """


class BlockLoader:
    """Loads blocks into a table; `rules` are those of the columns that can be loaded so.

    A block is loaded whole or not at all, behind a savepoint.
    """

    def __init__(self, loader: Loader, rules: Mapping[str, TextRule], *, updates: bool = False) -> None:
        self._loader = loader
        self.rules = rules
        self.updates = updates
        """Whether rows take the place of those that are there, where NULL is not the same as no value."""

    @property
    def takes_arrays(self) -> bool:
        """Whether blocks of pyarrow's arrays can be loaded."""
        return self._loader.takes_arrays

    @property
    def takes_csv(self) -> bool:
        """Whether blocks of CSV can be loaded as they are."""
        return self._loader.takes_csv

    def encode(self, columns: Columns) -> Any | None:
        """The block as `load` takes it, or None where it has to go the slow way; from any thread."""
        try:
            return self._loader.encode(columns)
        except CannotLoad:
            return None

    def load(self, connection: Connection, encoded: Any, count: int) -> bool:
        """Load the block; whether all its rows are there. If not, none is, and the slow way tells why.

        Raises:
            SQLAlchemyError, KnownFailure: a failure that no row is to blame for; only a rollback of the
                transaction can follow.
        """
        savepoint = connection.begin_nested()
        try:
            loaded = self._loader.send(connection, encoded) == count
        except CannotLoad:
            loaded = False
        except (SQLAlchemyError, KnownFailure) as error:
            if classify(error, connection.dialect.name).kind not in {Kind.PERMANENT, Kind.DEFECT}:
                raise
            loaded = False
        if loaded:
            savepoint.commit()
        else:
            savepoint.rollback()
        return loaded


def open_loader(
    connection: Connection,
    table: Table,
    column_types: Mapping[str, TypeEngine[Any]],
    conflict: Conflict | None = None,
) -> BlockLoader | None:
    """The way to load blocks into this table; None where rows can only be inserted.

    Args:
        connection: A connection of the table's shard.
        table: The table.
        column_types: The types of the columns that may be filled, by name.
        conflict: What becomes of rows that are there already; without it they are refused.
    """
    target = Target.of(connection, table)
    if target is None:
        return None
    rules = {
        name: rule
        for name, type_ in column_types.items()
        if (rule := text_rule(type_, connection.dialect.name)) is not None
    }
    loader = _loader(connection, target, column_types, conflict)
    updates = conflict is not None and conflict.action == "update"
    return None if loader is None else BlockLoader(loader, rules, updates=updates)


def _loader(
    connection: Connection,
    target: Target,
    column_types: Mapping[str, TypeEngine[Any]],
    conflict: Conflict | None,
) -> Loader | None:
    make: Callable[[Target], Loader] | None = None
    match connection.dialect.name:
        case "postgresql" if PostgreSQLLoader.can_load(connection, target):
            make = PostgreSQLLoader
        case "mysql" | "mariadb" if MariaDBLoader.can_load(connection):
            make = MariaDBLoader
        case "sqlite":
            return SQLiteLoader(target, column_types, connection.dialect, conflict)
    if make is None or conflict is None:
        return None if make is None else make(target)
    return StagedLoader(make, target, conflict, connection.dialect.name)
