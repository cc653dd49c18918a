"""Loading blocks into a temporary table first, from which one statement puts them where they belong."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from shards.column_blocks import Columns
from shards.conflicts import COUNTED, MYSQL, Conflict
from shards.load_target import CannotLoad, Target

ROW: Final = "shardworker_row"
CHANGED_TWICE: Final = "21000"
"""PostgreSQL changes a row once in a statement. Of rows with one key each is judged, the last one stays."""


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
            f"INSERT INTO {self._target.table} ({names}) "  # noqa: S608 - quoted names, of the configuration
            f"SELECT {names} FROM {staging.table} ORDER BY {ROW} "
            f"{self._conflict.clause(self._target, self._dialect, columns.names)}"
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
        taken = self._merge(connection, encoded.merge)
        for statement in encoded.after:
            connection.exec_driver_sql(statement)
        if count == encoded.row_count:
            self._conflict.note(count, taken)
        return count

    def _merge(self, connection: Connection, statement: str) -> int:
        """Put the rows where they belong; how many the database took."""
        try:
            return connection.exec_driver_sql(statement, execution_options=COUNTED).rowcount
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == CHANGED_TWICE:
                raise CannotLoad from error
            raise

    def _name(self, names: str) -> str:
        mark = zlib.crc32(f"{self._target.table} {names}".encode())
        return f"shardworker_rows_{mark:08x}"

    def _creation(self, names: str, staging: str) -> Sequence[str]:
        rows = f"SELECT {names} FROM {self._target.table}"  # noqa: S608 - as above
        if self._dialect in MYSQL:
            counted = f"({ROW} BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY)"
            return [
                f"CREATE TEMPORARY TABLE IF NOT EXISTS {staging} {counted} {rows} LIMIT 0",
                # of an engine without transactions it still has the rows of a block that was refused
                f"DELETE FROM {staging}",  # noqa: S608 - as above
            ]
        return [
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {staging} ON COMMIT DROP AS {rows} WITH NO DATA",
            f"ALTER TABLE {staging} ADD COLUMN IF NOT EXISTS {ROW} bigint GENERATED ALWAYS AS IDENTITY",
        ]
