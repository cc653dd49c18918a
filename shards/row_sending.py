"""Sending rows to a table by INSERT: of rows of which the database refuses one for good, none stays."""

from collections.abc import KeysView, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Insert, TableClause
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from shards import failure_codes
from shards.conflicts import COUNTED, Conflict, insertion
from shards.failures import Failure, Kind, KnownFailure, classify
from shards.guard import PartConnection
from shards.postgresql import ALONE, AT_ONCE, can_fail_alone

TABLES_REMEMBERED: Final = 1024

Row = dict[str, Any]


class Refusal(NamedTuple):
    """A row that the database refused, by its place among those that were sent, and why."""

    place: int
    failure: Failure


class RowSender:
    """Sends rows to one table; `conflict` says what becomes of those that are there already.

    Each method raises a failure that no row is to blame for as it came, after which only a rollback of the
    transaction can follow.
    """

    def __init__(self, connection: Connection, table: TableClause, conflict: Conflict | None) -> None:
        self._connection = connection
        self._table = table
        self._conflict = conflict
        self._dialect = connection.dialect.name

    def send(self, rows: Sequence[Row]) -> Failure | None:
        """Send the rows at once; why the database refused one of them for good, and then none is there.

        In a transaction that parts share, a refusal is raised as it came: the part is run again alone.
        """
        if isinstance(self._connection, PartConnection) and self._connection.is_lent:
            self._send_unprotected(self._connection, rows)
            return None
        try:
            if self._conflict is None and can_fail_alone(self._connection) and _are_alike(rows):
                self._send(rows, ALONE)
            else:
                self._send_in_savepoint(rows)
        except (SQLAlchemyError, KnownFailure) as error:
            return self._refusal(error)
        return None

    def send_singly(self, rows: Sequence[Row]) -> Refusal | None:
        """Send one row after the other, up to the first that the database refuses for good."""
        savepoint = self._connection.begin_nested()
        taken = 0
        for place, row in enumerate(rows):
            try:
                taken += self._send([row])
            except (SQLAlchemyError, KnownFailure) as error:
                failure = self._refusal(error)
                savepoint.rollback()
                return Refusal(place, failure)
        savepoint.commit()
        self._note(len(rows), taken)
        return None

    def _send_unprotected(self, connection: PartConnection, rows: Sequence[Row]) -> None:
        try:
            taken = self._send(rows, AT_ONCE)
        except BaseException:
            connection.refuse("A row that the database refuses")
            raise
        self._note(len(rows), taken)

    def _send_in_savepoint(self, rows: Sequence[Row]) -> None:
        savepoint = self._connection.begin_nested()
        try:
            taken = self._send(rows)
        except (SQLAlchemyError, KnownFailure) as error:
            # A savepoint is rolled back only where the database still knows it: a deadlock or a lost
            # connection took it away, and the attempt would hide the error that came.
            if classify(error, self._dialect).kind is Kind.PERMANENT:
                savepoint.rollback()
            raise
        savepoint.commit()
        self._note(len(rows), taken)

    def _send(self, rows: Sequence[Row], options: Mapping[str, Any] | None = None) -> int:
        """Send the rows; how many the database took, which is known where rows may be there already."""
        conflict = self._conflict
        options = COUNTED if conflict else options
        taken = 0
        # A statement takes its columns from its first row and would drop further ones of later rows: each run
        # of rows with the same columns is a statement of its own.
        for names, alike in groupby(rows, key=_columns_of):
            if conflict and not names and self._dialect == "sqlite":
                taken += sum(self._send_defaults() for _ in alike)
                continue
            statement = _insertion_into(
                self._table, self._dialect, tuple(names) if conflict else (), conflict
            )
            done = self._connection.execute(statement, list(alike), execution_options=options)
            taken += done.rowcount if conflict else 0
        return taken

    def _send_defaults(self) -> bool:
        """Send a row without any value; whether it was taken. SQLite takes no ON CONFLICT with such a one."""
        savepoint = self._connection.begin_nested()
        try:
            self._connection.execute(insertion(self._table, self._dialect, (), None))
        except IntegrityError as error:
            savepoint.rollback()
            if classify(error, self._dialect).code != failure_codes.UNIQUE.code:
                raise
            return False
        savepoint.commit()
        return True

    def _refusal(self, error: Exception) -> Failure:
        """The failure of a row; raises the error again where no row is to blame."""
        failure = classify(error, self._dialect)
        if failure.kind is not Kind.PERMANENT:
            raise error
        return failure

    def _note(self, sent: int, taken: int) -> None:
        if self._conflict is not None:
            self._conflict.note(sent, taken)


@lru_cache(TABLES_REMEMBERED)
def _insertion_into(
    table: TableClause, dialect: str, names: tuple[str, ...], conflict: Conflict | None
) -> Insert:
    return insertion(table, dialect, names, conflict)


def _are_alike(rows: Sequence[Row]) -> bool:
    columns = _columns_of(rows[0])
    return all(_columns_of(row) == columns for row in rows)


def _columns_of(row: Row) -> KeysView[str]:
    return row.keys()
