"""Inserting many rows in chunks through a part's connection, and finding the row that is refused."""

from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, FromClause, Insert, TableClause
from sqlalchemy.exc import SQLAlchemyError

from config.result import ErrorDetail
from shards.conflicts import COUNTED, Conflict, insertion
from shards.failures import Failure, Kind, KnownFailure, classify
from shards.guard import PartConnection
from shards.postgresql import ALONE, AT_ONCE, can_fail_alone
from shards.row_columns import RowLoader

CHUNK_ROWS: Final = 1000
CHUNK_BYTES: Final = 4 * 2**20
"""About how much text a chunk holds before it is sent, however few its rows."""

TABLES_REMEMBERED: Final = 1024

Row = dict[str, Any]
NoteRefused = Callable[[int, Failure], None]
"""Is told the number of a row that the database refuses, and why."""


class NumberedRows(Iterator[Any]):
    """Rows that know their numbers: `row_number` is that of the row that came last."""

    row_number: int

    def __init__(self, rows: Iterable[tuple[int, Any]]) -> None:
        self._rows = iter(rows)
        self.row_number = 0

    def __next__(self) -> Any:
        self.row_number, row = next(self._rows)
        return row


class Chunk(NamedTuple):
    """Rows that are sent at once, and the number of each."""

    rows: list[Row]
    numbers: list[int]


class RowRefused(KnownFailure):
    """The database refused a row for good: `failure` says why, its `details` name the row and the column."""


def insert_rows(
    connection: Connection,
    table: FromClause,
    rows: Iterable[Any],
    *,
    chunk_rows: int = CHUNK_ROWS,
    chunk_bytes: int = CHUNK_BYTES,
    conflict: Conflict | None = None,
    note_refused: NoteRefused | None = None,
) -> int:
    """Insert the rows in chunks inside the connection's transaction; returns how many.

    A chunk is sent when it has `chunk_rows` rows or about `chunk_bytes` bytes of text, so that `rows` may be
    a generator of any length. A row is a mapping from column to value, or a Struct, a dataclass or a pydantic
    model with such fields; a column that a row leaves out gets its default.

    Where the database has a faster way than INSERT, many rows go that way; what comes of it is the same.

    `conflict` says what becomes of rows that are there already; without it they are refused.

    With `note_refused`, rows that the database refuses for good are left out, in the order of the rows, and
    the others inserted. What it refuses only at COMMIT is no row's fault.

    Raises:
        RowRefused: the database refused a row for good, and none may be left out; its number is told: 1 for
            the first, or what rows that know their numbers say. Nothing of its chunk stays, what came before
            it does until the transaction is rolled back.
        SQLAlchemyError, KnownFailure: any other failure, as it came; only a rollback of the transaction
            can follow.
        TypeError: `table` is no table, or a row is none of the kinds above.
    """
    if not isinstance(table, TableClause):
        raise TypeError(f"Rows can only be inserted into a table: found {type(table).__name__}.")
    loader = RowLoader(connection, table, conflict)
    done = 0
    for chunk in _chunks(rows, chunk_rows, chunk_bytes):
        if loader.load(chunk.rows):
            done += len(chunk.rows)
        else:
            done += _insert_chunk(connection, table, chunk, conflict, note_refused)
    return done


def as_mapping(row: Any) -> Row:
    """The row as a mapping from column to value; its values stay as they are."""
    if isinstance(row, dict):
        return row
    if isinstance(row, Mapping):
        return dict(row)
    if isinstance(row, msgspec.Struct):
        return msgspec.structs.asdict(row)
    if is_dataclass(row) and not isinstance(row, type):
        return {field.name: getattr(row, field.name) for field in fields(row)}
    if hasattr(row, "__pydantic_fields__"):
        return dict(row)
    raise TypeError(
        f"A row of type {type(row).__name__} cannot be inserted: expected a mapping, a msgspec Struct, "
        "a dataclass or a pydantic model."
    )


def _chunks(rows: Iterable[Any], rows_maximum: int, bytes_maximum: int) -> Iterator[Chunk]:
    numbered = rows if isinstance(rows, NumberedRows) else None
    chunk = Chunk([], [])
    weight = 0
    for count, row in enumerate(map(as_mapping, rows), start=1):
        chunk.rows.append(row)
        chunk.numbers.append(count if numbered is None else numbered.row_number)
        weight += sum(_weight(value) for value in row.values() if type(value) is not int)
        if len(chunk.rows) >= rows_maximum or weight >= bytes_maximum:
            yield chunk
            chunk, weight = Chunk([], []), 0
    if chunk.rows:
        yield chunk


def _weight(value: Any) -> int:
    if isinstance(value, (str, bytes)):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_weight, value.values()))
    if isinstance(value, list):
        return sum(map(_weight, value))
    return 0


def _insert_chunk(
    connection: Connection,
    table: TableClause,
    chunk: Chunk,
    conflict: Conflict | None,
    note_refused: NoteRefused | None,
) -> int:
    """Insert the chunk's rows, or those that the database takes if others may be left out; how many."""
    if isinstance(connection, PartConnection) and connection.is_lent:
        _send_unprotected(connection, table, chunk.rows, conflict)
        return len(chunk.rows)
    try:
        _send_protected(connection, table, chunk.rows, conflict)
    except (SQLAlchemyError, KnownFailure) as error:
        failure = classify(error, connection.dialect.name)
        if failure.kind is not Kind.PERMANENT:
            raise
        if note_refused is not None:
            return _insert_by_halves(connection, table, chunk, conflict, note_refused, failure)
        _insert_one_by_one(connection, table, chunk, conflict)
    return len(chunk.rows)


def _insert_by_halves(
    connection: Connection,
    table: TableClause,
    chunk: Chunk,
    conflict: Conflict | None,
    note_refused: NoteRefused,
    failure: Failure,
) -> int:
    """Insert what can be of a chunk that was refused: few bad rows among many cost few statements."""
    if len(chunk.rows) == 1:
        note_refused(chunk.numbers[0], failure)
        return 0
    middle = len(chunk.rows) // 2
    halves = (
        Chunk(chunk.rows[:middle], chunk.numbers[:middle]),
        Chunk(chunk.rows[middle:], chunk.numbers[middle:]),
    )
    return sum(_insert_chunk(connection, table, half, conflict, note_refused) for half in halves)


def _send_protected(
    connection: Connection, table: TableClause, rows: Sequence[Row], conflict: Conflict | None
) -> None:
    """Send rows; of those that the database refuses for good, none stays."""
    if conflict is None and can_fail_alone(connection) and _are_alike(rows):
        _send(connection, table, rows, options=ALONE)
    else:
        _send_in_savepoint(connection, table, rows, conflict)


def _send_unprotected(
    connection: PartConnection, table: TableClause, chunk: Sequence[Row], conflict: Conflict | None
) -> None:
    """Send rows without a savepoint: where they fail, the part is run again alone, and the row found then."""
    try:
        taken = _send(connection, table, chunk, conflict, options=AT_ONCE)
    except BaseException:
        connection.refuse("A row that the database refuses")
        raise
    _note(conflict, len(chunk), taken)


def _send_in_savepoint(
    connection: Connection, table: TableClause, chunk: Sequence[Row], conflict: Conflict | None
) -> None:
    savepoint = connection.begin_nested()
    try:
        taken = _send(connection, table, chunk, conflict)
    except (SQLAlchemyError, KnownFailure) as error:
        # A savepoint is rolled back only where the database still knows it: a deadlock or a lost connection
        # took it away, and the attempt would hide the error that came.
        if classify(error, connection.dialect.name).kind is Kind.PERMANENT:
            savepoint.rollback()
        raise
    savepoint.commit()
    _note(conflict, len(chunk), taken)


def _insert_one_by_one(
    connection: Connection, table: TableClause, chunk: Chunk, conflict: Conflict | None
) -> None:
    savepoint = connection.begin_nested()
    taken = 0
    for number, row in zip(chunk.numbers, chunk.rows, strict=True):
        try:
            taken += _send(connection, table, [row], conflict)
        except (SQLAlchemyError, KnownFailure) as error:
            failure = classify(error, connection.dialect.name)
            if failure.kind is not Kind.PERMANENT:
                raise
            savepoint.rollback()
            # The driver's own error may hold the row's values.
            raise RowRefused(_with_row(failure, number)) from None
    savepoint.commit()
    _note(conflict, len(chunk.rows), taken)


def _send(
    connection: Connection,
    table: TableClause,
    rows: Sequence[Row],
    conflict: Conflict | None = None,
    options: Mapping[str, Any] | None = None,
) -> int:
    """Send the rows; how many the database took, which is known where rows may be there already."""
    # A statement takes its columns from its first row and would drop further ones of later rows: each run of
    # rows with the same columns is a statement of its own.
    taken = 0
    for names, alike in groupby(rows, key=_columns_of):
        statement = _insertion_into(
            table, connection.dialect.name, tuple(names) if conflict else (), conflict
        )
        done = connection.execute(statement, list(alike), execution_options=COUNTED if conflict else options)
        taken += done.rowcount if conflict else 0
    return taken


@lru_cache(TABLES_REMEMBERED)
def _insertion_into(
    table: TableClause, dialect: str, names: tuple[str, ...], conflict: Conflict | None
) -> Insert:
    return insertion(table, dialect, names, conflict)


def _note(conflict: Conflict | None, sent: int, taken: int) -> None:
    if conflict is not None:
        conflict.note(sent, taken)


def _are_alike(rows: Sequence[Row]) -> bool:
    columns = _columns_of(rows[0])
    return all(_columns_of(row) == columns for row in rows)


def _columns_of(row: Row) -> KeysView[str]:
    return row.keys()


def _with_row(failure: Failure, number: int) -> Failure:
    places = failure.details or (ErrorDetail(rule=failure.code),)
    details = tuple(msgspec.structs.replace(place, row=number) for place in places)
    return replace(failure, message=f"Row {number}: {failure.message}", details=details)
