"""Loading blocks into a temporary table first, from which one statement puts them where they belong."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import Connection

from shards.column_blocks import Columns
from shards.conflicts import COUNTED, MYSQL, Conflict
from shards.load_target import CannotLoad, Target

ROW: Final = "shardworker_row"


class Inner(Protocol):
    """The loader that fills the temporary table."""

    takes_arrays: bool
    takes_csv: bool

    def encode(self, columns: Columns) -> Any:
        """As `Loader.encode`."""

    def send(self, connection: Connection, encoded: Any) -> int:
        """As `Loader.send`."""


class Staged(NamedTuple):
    """A block for a temporary table, and the statements before and after it."""

    before: Sequence[str]
    encoded: Any
    merge: str
    after: Sequence[str]
    row_count: int


class StagedLoader:
    """For rows that may be there already: a database's fast way only inserts, and ends at the first of them.

    The temporary table has the columns of the block and the order of its rows; it ends with the transaction
    or the session.
    """

    def __init__(
        self, make_inner: Callable[[Target], Inner], target: Target, conflict: Conflict, dialect: str
    ) -> None:
        self._make_inner = make_inner
        self._target = target
        self._conflict = conflict
        self._dialect = dialect
        self._inner = make_inner(target)
        self.takes_arrays = self._inner.takes_arrays
        self.takes_csv = self._inner.takes_csv

    def encode(self, columns: Columns) -> Staged:
        """The block and its statements; raises `CannotLoad` where rows leave out the key."""
        if not set(self._conflict.key) <= set(columns.names):
            raise CannotLoad
        names = self._target.columns(columns.names)
        staging = replace(self._target, table=self._name(names))
        merge = (
            f"INSERT INTO {self._target.table} ({names}) {self._chosen(names, staging)}"
            f" {self._conflict.clause(self._target, self._dialect, columns.names)}"
        )
        encoded = self._make_inner(staging).encode(columns)
        return Staged(
            self._creation(names, staging.table),
            encoded,
            merge,
            [f"DELETE FROM {staging.table}"],  # noqa: S608 - as above
            columns.count,
        )

    def send(self, connection: Connection, encoded: Staged) -> int:
        """Load the block, and put its rows where they belong."""
        for statement in encoded.before:
            connection.exec_driver_sql(statement)
        count = self._inner.send(connection, encoded.encoded)
        taken = connection.exec_driver_sql(encoded.merge, execution_options=COUNTED).rowcount
        for statement in encoded.after:
            connection.exec_driver_sql(statement)
        if count == encoded.row_count:
            self._conflict.note(count, taken)
        return count

    def _name(self, names: str) -> str:
        mark = zlib.crc32(f"{self._target.table} {names}".encode())
        return f"shardworker_rows_{mark:08x}"

    def _creation(self, names: str, staging: str) -> Sequence[str]:
        rows = f"SELECT {names} FROM {self._target.table}"  # noqa: S608 - as above
        if self._dialect in MYSQL:
            counted = f"({ROW} BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY)"
            return [f"CREATE TEMPORARY TABLE IF NOT EXISTS {staging} {counted} {rows} LIMIT 0"]
        return [
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {staging} ON COMMIT DROP AS {rows} WITH NO DATA",
            f"ALTER TABLE {staging} ADD COLUMN IF NOT EXISTS {ROW} bigint GENERATED ALWAYS AS IDENTITY",
        ]

    def _chosen(self, names: str, staging: Target) -> str:
        in_order = f"SELECT {names} FROM {staging.table} ORDER BY {ROW}"  # noqa: S608 - as above
        if self._conflict.action == "ignore" or self._dialect in MYSQL:
            return in_order
        # one statement changes a row once: of those with the same key, the last one counts; a key that has a
        # NULL is the same as no other
        key = [staging.quoting.quote(name) for name in self._conflict.key]
        has_null = " OR ".join(f"{name} IS NULL" for name in key)
        distinct = f"{', '.join(key)}, CASE WHEN {has_null} THEN {ROW} END"
        return (
            f"SELECT DISTINCT ON ({distinct}) {names} FROM {staging.table} "  # noqa: S608 - as above
            f"ORDER BY {distinct}, {ROW} DESC"
        )
