"""A table's columns as the database itself tells them, remembered per engine, schema and table."""

from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import INTEGER, JSON, Column, Connection, Engine, MetaData, Table, inspect, select
from sqlalchemy import table as table_clause
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.sql import column as column_clause
from sqlalchemy.types import TypeEngine

from shards.conflicts import MYSQL

DEFAULTS: Final = (
    "SELECT column_name, column_default FROM information_schema.columns"
    " WHERE table_schema = COALESCE(%s, DATABASE()) AND table_name = %s AND column_default IS NOT NULL"
)
NO_DEFAULT: Final = "NULL"
"""MariaDB's for a column that may be NULL; the text itself has quotes there, and SQLAlchemy reads it."""


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """One column that rows may fill. `optional`: a row may leave it out, the database fills it.

    `has_default`: it does so with something else than NULL.
    """

    name: str
    type: TypeEngine[Any] = field(compare=False)
    declared: str
    nullable: bool
    optional: bool
    has_default: bool


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A table's columns, without those that only the database fills; and the table to insert into."""

    table: Table = field(compare=False)
    columns: tuple[ColumnFacts, ...]
    key: tuple[str, ...] = ()
    """The columns of the primary key."""


class TableCache:
    """What the databases told of their tables. Safe to use from several threads at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._facts: WeakKeyDictionary[Engine, dict[tuple[str | None, str], TableFacts]] = WeakKeyDictionary()

    def find(self, connection: Connection, name: str, schema: str | None) -> TableFacts:
        """The table's facts, remembered or read now.

        Raises:
            sqlalchemy.exc.DBAPIError: the database's own error where the table is missing.
        """
        with self._lock:
            known = self._facts.get(connection.engine, {}).get((schema, name))
        return known or self.reload(connection, name, schema)

    def reload(self, connection: Connection, name: str, schema: str | None) -> TableFacts:
        """The table's facts, read now; raises as `find` does."""
        facts = read_table(connection, name, schema)
        with self._lock:
            self._facts.setdefault(connection.engine, {})[schema, name] = facts
        return facts

    def forget(self, connection: Connection, name: str, schema: str | None) -> None:
        """Read the table anew when it is next asked for."""
        with self._lock:
            self._facts.get(connection.engine, {}).pop((schema, name), None)


def read_table(connection: Connection, name: str, schema: str | None) -> TableFacts:
    """What the database tells of a table; raises its own error where the table is missing."""
    inspector = inspect(connection)
    try:
        reflected = inspector.get_columns(name, schema=schema)
        keys = inspector.get_pk_constraint(name, schema=schema)["constrained_columns"]
    except NoSuchTableError:
        require_columns(connection, name, schema, [])
        raise
    filled = _filled_by_mysql(connection, name, schema)
    columns = [
        _facts(connection, column, keys, filled) for column in reflected if not _only_generated(column)
    ]
    # No primary key is marked: the database is the judge of keys, the table here only names columns.
    table = Table(name, MetaData(), *(Column(facts.name, facts.type) for facts in columns), schema=schema)
    return TableFacts(table, tuple(columns), tuple(keys))


def require_columns(connection: Connection, name: str, schema: str | None, columns: list[str]) -> None:
    """Ask the database for these columns, so that its own error tells of a missing table or column."""
    table = table_clause(name, *map(column_clause, columns), schema=schema)
    chosen = list(table.columns) or [column_clause("*", is_literal=True)]
    connection.execute(select(*chosen).select_from(table).limit(0))


def _filled_by_mysql(connection: Connection, name: str, schema: str | None) -> frozenset[str]:
    """The columns that MariaDB or MySQL fills: SQLAlchemy reads a text for that, which it does not always."""
    if connection.dialect.name not in MYSQL:
        return frozenset()
    found = connection.exec_driver_sql(DEFAULTS, (schema, name))
    return frozenset(column for column, default in found if default != NO_DEFAULT)


def _facts(
    connection: Connection, column: ReflectedColumn, keys: list[str], filled_by_mysql: frozenset[str]
) -> ColumnFacts:
    type_ = column["type"]
    if isinstance(type_, JSON):
        # None would be stored as JSON's null, which NOT NULL lets through.
        type_.none_as_null = True
    has_own = column.get("default") is not None or column["name"] in filled_by_mysql
    filled = has_own or "identity" in column or _counts_up(column, keys)
    return ColumnFacts(
        name=column["name"],
        type=type_,
        declared=type_.compile(connection.dialect),
        nullable=column["nullable"],
        optional=column["nullable"] or filled,
        has_default=filled,
    )


def _counts_up(column: ReflectedColumn, keys: list[str]) -> bool:
    if "autoincrement" in column:
        return column["autoincrement"]
    # Where the dialect does not tell, a key of one INTEGER column counts up.
    return keys == [column["name"]] and isinstance(column["type"], INTEGER)


def _only_generated(column: ReflectedColumn) -> bool:
    return "computed" in column or column.get("identity", {}).get("always", False)
