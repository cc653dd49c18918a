"""What statements change, counted by table while a dry run watches its connection."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Connection, event

from config.result import NAME_CHARACTERS_MAXIMUM, TABLES_MAXIMUM, Change
from config.text import clip
from shards.conflicts import MYSQL

Verb = Literal["inserted", "updated", "deleted", "upserted"]

OWN_TABLES: Final = "shardworker_"
"""How the names of the worker's own tables begin, those among them in which rows stand on their way."""

_NAME: Final = r'(?:"(?:[^"]|"")+"|`(?:[^`]|``)+`|[\w$]+)'
_TABLE: Final = rf"(?P<table>{_NAME}(?:\.{_NAME})*)"
_BEFORE: Final = re.compile(r"(?:\s|/\*.*?\*/|--[^\n]*\n)*", re.DOTALL)
_TEXTS: Final[tuple[tuple[Verb, str], ...]] = (
    ("upserted", rf"(?:REPLACE|INSERT\s+OR\s+REPLACE)\s+INTO\s+{_TABLE}"),
    ("inserted", rf"INSERT\s+(?:OR\s+\w+\s+|IGNORE\s+)?INTO\s+{_TABLE}"),
    ("inserted", rf"COPY\s+{_TABLE}[^;]*?\sFROM\s"),
    ("inserted", rf"LOAD\s+DATA\s.*?\sINTO\s+TABLE\s+{_TABLE}"),
    ("updated", rf"UPDATE\s+(?:ONLY\s+)?{_TABLE}"),
    ("deleted", rf"DELETE\s+FROM\s+(?:ONLY\s+)?{_TABLE}"),
    # here more than one table can be meant
    ("inserted", r"WITH\s.*?\)\s*INSERT\s(?P<table>)"),
    ("updated", r"WITH\s.*?\)\s*UPDATE\s(?P<table>)"),
    ("deleted", r"(?:WITH\s.*?\)\s*)?DELETE\s(?P<table>)"),
)
_FORMS: Final = [(verb, re.compile(text, re.IGNORECASE | re.DOTALL)) for verb, text in _TEXTS]
_UPSERT: Final = re.compile(
    r"\sON\s+(?:CONFLICT\b.*\sDO\s+UPDATE|DUPLICATE\s+KEY\s+UPDATE)\s", re.IGNORECASE | re.DOTALL
)
_SAVE: Final = re.compile(rf"SAVEPOINT\s+({_NAME})", re.IGNORECASE)
_RECORDS: Final = re.compile(r"Records: (\d+)")
_UNDO: Final = re.compile(rf"ROLLBACK\s+TO\s+(?:SAVEPOINT\s+)?({_NAME})", re.IGNORECASE)


class Place(NamedTuple):
    """What is done to which table; None where the statement does not tell one."""

    table: str | None
    verb: Verb


class Changes:
    """How many rows the statements on a connection have changed since it is watched.

    As the database counts for each statement: not what triggers, functions and foreign keys do besides.
    """

    def __init__(self, connection: Connection) -> None:
        self._driver: Any = connection.connection.driver_connection
        self._counts_twice = connection.dialect.name in MYSQL
        self._counts: Counter[Place] = Counter()
        self._saved: dict[str, Counter[Place]] = {}
        self._counted_late: tuple[Place, int] | None = None

    def told(self) -> tuple[Change, ...]:
        """The tables in the order in which they were changed first; those beyond the maximum as one."""
        self.count_late()
        tables = dict.fromkeys(place.table for place, count in self._counts.items() if count)
        named = [table for table in tables if table is not None]
        told = named[:TABLES_MAXIMUM]
        changes = [self._change(table, {table}) for table in told]
        others = set(tables) - set(told)
        return (*changes, self._change(None, others)) if others else tuple(changes)

    def count_late(self, *_: Any) -> None:
        """The rows of the statement before have been read by now; the connection's events call this."""
        if self._counted_late is not None:
            place, before = self._counted_late
            self._counted_late = None
            self._counts[place] += self._driver.total_changes - before

    def note(self, _connection: Any, cursor: Any, statement: str, parameters: Any, _: Any, many: Any) -> None:
        """A statement was executed; the connection's events call this."""
        if (saved := _SAVE.match(statement)) is not None:
            self._saved[saved[1]] = self._counts.copy()
        elif (undone := _UNDO.match(statement)) is not None:
            self._counts = self._saved.get(undone[1], self._counts).copy()
        elif (place := place_of(statement)) is not None:
            self._count(place, cursor, len(parameters) if many else 1)

    def _count(self, place: Place, cursor: Any, sets: int) -> None:
        if place.verb == "upserted" and self._counts_twice:
            self._counts[place] += _records(self._driver, cursor, sets)
        elif self._is_counted_late(cursor):
            # SQLite counts what has a RETURNING when its rows have been read, which SQLAlchemy does next
            self._counted_late = (place, self._driver.total_changes)
        else:
            self._counts[place] += max(cursor.rowcount, 0)

    def _is_counted_late(self, cursor: Any) -> bool:
        returns = cursor.rowcount <= 0 and cursor.description is not None
        return returns and hasattr(self._driver, "total_changes")

    def _change(self, name: str | None, tables: set[str | None]) -> Change:
        counts: Counter[Verb] = Counter()
        for place, count in self._counts.items():
            if place.table in tables:
                counts[place.verb] += count
        return Change(
            table=None if name is None else clip(name, NAME_CHARACTERS_MAXIMUM),
            inserted=counts["inserted"],
            updated=counts["updated"],
            deleted=counts["deleted"],
            upserted=counts["upserted"],
        )


@contextmanager
def changes_on(connection: Connection) -> Iterator[Changes]:
    """Count what is changed on the connection inside the block."""
    changes = Changes(connection)
    event.listen(connection, "before_cursor_execute", changes.count_late)
    event.listen(connection, "after_cursor_execute", changes.note)
    try:
        yield changes
    finally:
        event.remove(connection, "before_cursor_execute", changes.count_late)
        event.remove(connection, "after_cursor_execute", changes.note)


def place_of(statement: str) -> Place | None:
    """What a statement does to which table; None for one that changes no rows of a handler's tables."""
    start = _start_of(statement)
    for verb, form in _FORMS:
        if (found := form.match(statement, start)) is not None:
            return _place(verb, _unquoted(found["table"]), statement)
    return None


def _place(verb: Verb, table: str, statement: str) -> Place | None:
    if table.startswith(OWN_TABLES):
        return None
    is_upsert = verb == "inserted" and _UPSERT.search(statement) is not None
    return Place(table or None, "upserted" if is_upsert else verb)


def _records(driver: Any, cursor: Any, sets: int) -> int:
    """How many rows came in a statement of MariaDB or MySQL, which count one twice that took another's place.

    How many there were they tell in words, but of a single one; of many sets of parameters each is one row.
    """
    if sets > 1:
        return sets
    told = driver.info() if hasattr(driver, "info") else cursor._result.message  # noqa: SLF001 - nowhere else
    found = _RECORDS.search(told.decode("ascii", "replace") if isinstance(told, bytes) else told or "")
    return min(max(cursor.rowcount, 0), 1) if found is None else int(found[1])


def _start_of(statement: str) -> int:
    """Where a statement begins, behind comments."""
    before = _BEFORE.match(statement)
    return before.end() if before else 0


def _unquoted(path: str) -> str:
    """The last of the names with dots between, as the database has it."""
    names = re.findall(_NAME, path)
    name: str = names[-1] if names else ""
    quote = name[:1]
    return name[1:-1].replace(quote * 2, quote) if quote in {'"', "`"} else name
