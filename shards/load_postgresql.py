"""Loading blocks into PostgreSQL by COPY: as text, or in its binary form where pyarrow and pgpq are there."""

import importlib.util
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from shards.column_blocks import Columns, CsvText, as_copy_text
from shards.load_target import CannotLoad, Target
from shards.postgresql import can_fail_alone, copying

# A table with row-level security, a view, a foreign table of some kind, a value whose binary form is another
# than its type's name tells ("char" is no text): INSERT may be able to do it.
NOT_FOR_COPY: Final = frozenset({"0A000", "42809", "08P01"})
# COPY leaves out what a rule makes of an INSERT: its rows may belong in another table. What a view fills by
# itself, it does not tell.
TAKES_COPY: Final = (
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = to_regclass(%s)"
    " AND relkind IN ('r', 'p', 'f') AND NOT EXISTS ("
    "SELECT FROM pg_catalog.pg_rewrite WHERE ev_class = pg_class.oid AND ev_type = '3'))"
)


class CopyData(NamedTuple):
    """A block as COPY takes it."""

    statement: str
    data: bytes


class PostgreSQLLoader:
    """COPY, through the connection of the part; one statement for each block."""

    takes_csv = True

    def __init__(self, target: Target) -> None:
        self._target = target
        self.takes_arrays = has_arrow()

    @staticmethod
    def can_load(connection: Connection, target: Target) -> bool:
        """Whether COPY does what INSERT does: on a connection of our engines, to a table without rules."""
        if not can_fail_alone(connection):
            return False
        return bool(connection.exec_driver_sql(TAKES_COPY, (target.table,)).scalar_one())

    def encode(self, columns: Columns) -> CopyData:
        """The block's statement and bytes."""
        if columns.arrays is not None:
            return CopyData(self._statement(columns, "binary"), _as_copy_binary(columns.arrays))
        if columns.csv is not None:
            return CopyData(self._statement(columns, self._csv_form(columns, columns.csv)), columns.csv.data)
        return CopyData(self._statement(columns, "text, ENCODING 'UTF8'"), as_copy_text(columns))

    def send(self, connection: Connection, encoded: CopyData) -> int:
        """Copy the block; raises `CannotLoad` where the table takes no COPY."""
        try:
            return connection.exec_driver_sql(
                encoded.statement, execution_options=copying(encoded.data)
            ).rowcount
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) in NOT_FOR_COPY:
                raise CannotLoad from error
            raise

    def _csv_form(self, columns: Columns, csv: CsvText) -> str:
        required = [name for name in columns.names if name not in csv.nullable]
        forced = {"FORCE_NULL": csv.nullable, "FORCE_NOT_NULL": required}
        options = [f"{name} ({self._target.columns(names)})" for name, names in forced.items() if names]
        return ", ".join(["csv", f"DELIMITER '{csv.separator}'", "ENCODING 'UTF8'", *options])

    def _statement(self, columns: Columns, form: str) -> str:
        names = self._target.columns(columns.names)
        return f"COPY {self._target.table} ({names}) FROM STDIN (FORMAT {form})"


def has_arrow() -> bool:
    """Whether the extra `fast` is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("pyarrow", "pgpq"))


def _as_copy_binary(arrays: Any) -> bytes:
    import pgpq

    encoder = pgpq.ArrowToPostgresBinaryEncoder(arrays.schema)
    return b"".join((encoder.write_header(), encoder.write_batch(arrays), encoder.finish()))
