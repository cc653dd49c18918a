"""Inserting many rows in chunks through a part's connection, and finding the row that is refused."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, FromClause, TableClause

from config.result import ErrorDetail
from shards.conflicts import Conflict
from shards.failures import Failure, KnownFailure
from shards.good_rows import Chunk, GoodRows, NoteRefused
from shards.row_columns import RowLoader
from shards.row_sending import Row, RowSender

CHUNK_ROWS: Final = 1000
CHUNK_BYTES: Final = 4 * 2**20
"""About how much text a chunk holds before it is sent, however few its rows."""


class NumberedRows(Iterator[Any]):
    """Rows that know their numbers: `row_number` is that of the row that came last."""

    row_number: int

    def __init__(self, rows: Iterable[tuple[int, Any]]) -> None:
        self._rows = iter(rows)
        self.row_number = 0

    def __next__(self) -> Any:
        self.row_number, row = next(self._rows)
        return row


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
    loader, sender = RowLoader(connection, table, conflict), RowSender(connection, table, conflict)
    insert: Callable[[Chunk], int] = partial(_insert_whole, loader, sender)
    if note_refused is not None:
        insert = GoodRows(loader, sender, note_refused).insert
    return sum(map(insert, _chunks(rows, chunk_rows, chunk_bytes)))


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


def _insert_whole(loader: RowLoader, sender: RowSender, chunk: Chunk) -> int:
    """Insert the chunk; raises `RowRefused` where the database refuses a row."""
    if not loader.load(chunk.rows) and sender.send(chunk.rows) is not None:
        refusal = sender.send_singly(chunk.rows)
        if refusal is not None:
            # not from the driver's own error, which may hold the row's values
            raise RowRefused(_with_row(refusal.failure, chunk.numbers[refusal.place]))
    return len(chunk.rows)


def _with_row(failure: Failure, number: int) -> Failure:
    places = failure.details or (ErrorDetail(rule=failure.code),)
    details = tuple(msgspec.structs.replace(place, row=number) for place in places)
    return replace(failure, message=f"Row {number}: {failure.message}", details=details)
