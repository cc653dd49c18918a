"""What becomes of a row whose key is in the table already: left out, or put in the place of what is there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sqlalchemy import Insert, TableClause, func, insert
from sqlalchemy.dialects import mysql, postgresql, sqlite

from shards.load_target import Target

MYSQL: Final = frozenset({"mysql", "mariadb"})


COUNTED: Final = {"preserve_rowcount": True}
"""Options of an INSERT whose rows are counted by `Conflict.note`."""


@dataclass(slots=True)
class Ignored:
    """How many rows were there already, and so left out."""

    count: int = 0


@dataclass(frozen=True, slots=True)
class Conflict:
    """`ignore`: the row is left out; `update`: its values take the place of those that are there.

    `key` are the columns of the primary key or of a unique index by which `update` knows a row; MariaDB goes
    by all of them. `owner` is a column whose value has to be the same in both rows, or the old one stays.
    """

    action: Literal["ignore", "update"]
    key: tuple[str, ...] = ()
    owner: str | None = None
    _ignored: Ignored = field(default_factory=Ignored, compare=False)

    def note(self, sent: int, taken: int) -> None:
        """Of so many rows that were sent, and stay, the database counts so many as taken."""
        self._ignored.count += sent - taken

    def ignored(self, dialect: str) -> int | None:
        """How many of the rows were there already; None where the database does not tell exactly.

        It counts a row that is updated as one that is inserted; MariaDB counts those that it ignores, too.
        """
        return self._ignored.count if self.action == "ignore" and dialect not in MYSQL else None

    def statement(self, table: TableClause, dialect: str, names: Sequence[str]) -> Insert:
        """The insertion of rows with these columns."""
        changed = self._changed(names)
        if dialect in MYSQL:
            return self._mysql_statement(table, names, changed)
        make = postgresql.insert if dialect == "postgresql" else sqlite.insert
        statement: Any = make(table)
        if not changed:
            return self._inline(statement.on_conflict_do_nothing())
        where = None if self.owner is None else table.c[self.owner] == statement.excluded[self.owner]
        values = {name: statement.excluded[name] for name in changed}
        return self._inline(
            statement.on_conflict_do_update(index_elements=list(self.key), set_=values, where=where)
        )

    def clause(self, target: Target, dialect: str, names: Sequence[str]) -> str:
        """The same as the end of a statement's text."""
        quote, changed = target.quoting.quote, self._changed(names)
        if dialect in MYSQL:
            return f"ON DUPLICATE KEY UPDATE {', '.join(self._mysql_values(target, names, changed))}"
        if not changed:
            return "ON CONFLICT DO NOTHING"
        values = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in changed)
        clause = f"ON CONFLICT ({target.columns(self.key)}) DO UPDATE SET {values}"
        if self.owner is None:
            return clause
        return f"{clause} WHERE {target.table}.{quote(self.owner)} = excluded.{quote(self.owner)}"

    def _changed(self, names: Sequence[str]) -> list[str]:
        if self.action == "ignore":
            return []
        return [name for name in names if name not in self.key and name != self.owner]

    def _mysql_statement(self, table: TableClause, names: Sequence[str], changed: Sequence[str]) -> Insert:
        statement = mysql.insert(table)
        values: dict[str, Any] = {name: statement.inserted[name] for name in changed}
        if self.owner is not None:
            same = table.c[self.owner].op("<=>")(statement.inserted[self.owner])
            values = {name: getattr(func, "if")(same, value, table.c[name]) for name, value in values.items()}
        # what is set to itself stays as it is
        unchanged = names[0] if names else next(iter(table.c)).name
        return self._inline(statement.on_duplicate_key_update(values or {unchanged: table.c[unchanged]}))

    def _mysql_values(self, target: Target, names: Sequence[str], changed: Sequence[str]) -> Iterable[str]:
        quote, table = target.quoting.quote, target.table
        if not changed:
            return [f"{quote(names[0])} = {table}.{quote(names[0])}"]
        if self.owner is None:
            return [f"{quote(name)} = VALUES({quote(name)})" for name in changed]
        same = f"{table}.{quote(self.owner)} <=> VALUES({quote(self.owner)})"
        return [
            f"{quote(name)} = IF({same}, VALUES({quote(name)}), {table}.{quote(name)})" for name in changed
        ]

    def _inline(self, statement: Any) -> Insert:
        inline: Insert = statement.inline()
        return inline


def insertion(table: TableClause, dialect: str, names: Sequence[str], conflict: Conflict | None) -> Insert:
    """The insertion of rows with these columns into the table."""
    return insert(table).inline() if conflict is None else conflict.statement(table, dialect, names)
