"""The table that blocks are loaded into: its name as the database reads it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table


class CannotLoad(Exception):
    """Blocks cannot be loaded this way; what was to be loaded has to be inserted."""


@dataclass(frozen=True, slots=True)
class Target:
    """A table's quoted name, and how the names of its columns are quoted."""

    table: str
    quoting: Any

    @classmethod
    def of(cls, connection: Connection, table: Table) -> "Target | None":
        """The target; None for a name that drivers would take for a placeholder."""
        preparer = connection.dialect.identifier_preparer
        translated = connection.get_execution_options().get("schema_translate_map") or {}
        schema = translated.get(table.schema, table.schema)
        names = [table.name, schema or "", *(column.name for column in table.columns)]
        if any("%" in name or ":" in name for name in names):
            return None
        quoted = preparer.quote(table.name)
        return cls(f"{preparer.quote_schema(schema)}.{quoted}" if schema else quoted, preparer)

    def columns(self, names: Iterable[str]) -> str:
        """The names of columns, quoted, with commas between."""
        return ", ".join(map(self.quoting.quote, names))
