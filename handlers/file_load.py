"""Loading a file of rows into a table: blocks at once where they are surely right, else row by row."""

from collections.abc import Callable
from contextlib import closing
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Connection

from config.settings import InsertHandler
from handlers.ahead import made_ahead
from handlers.block_columns import csv_columns, json_columns
from handlers.contract import LocalAttachment, PartContext
from handlers.csv_arrays import csv_arrays
from handlers.csv_blocks import BLOCK_BYTES, RECORD_BYTES_MAXIMUM
from handlers.json_arrays import json_arrays
from handlers.json_blocks import JsonBlock
from handlers.row_bytes import Unreadable, utf8_stream
from handlers.row_faults import RowFaults
from handlers.row_files import Block, CsvFile, JsonFile, RowFile
from handlers.row_model import BadRow, RowModel
from handlers.table_rows import TableRow
from shards.bulk import NumberedRows, insert_rows
from shards.column_blocks import Columns
from shards.columns import TableFacts
from shards.conflicts import Conflict
from shards.load import BlockLoader, open_loader
from shards.row_columns import can_load

Form = Literal["csv", "json"]
ColumnsOf = Callable[[Any], Columns | None]
MakeReady = Callable[[Block], "Ready"]

BLOCKS_AHEAD: Final = 1
"""One block is made ready while the one before it goes to the database; more would only hold more memory."""
BLOCKS_AHEAD_OF_ARRAYS: Final = 2
"""Pyarrow reads two at once: it needs no lock of Python's."""
LINE_LENGTHS_OF_ARRAYS: Final = 2
"""What pyarrow does once for each block costs more than a mebibyte's lines."""


class LoadTarget(NamedTuple):
    """A table, and what becomes of rows that are there already."""

    facts: TableFacts
    conflict: Conflict | None


class Ready(NamedTuple):
    """A block, and what of it can be loaded at once: `encoded`, for so many rows."""

    block: Block
    encoded: Any | None = None
    row_count: int = 0


def load_file(
    context: PartContext,
    target: LoadTarget,
    model: RowModel[TableRow],
    form: Form,
    attachment: LocalAttachment,
    section: InsertHandler,
    faults: RowFaults,
) -> int:
    """Insert the rows of an attachment; how many they are, those not counted that may be left out.

    Raises:
        Reject: the file or its rows cannot be used; all faults, up to 100, are told together.
        RowRefused: the database refused a row for good.
        SQLAlchemyError, KnownFailure: any other failure of the database.
    """
    with attachment.open() as stream:
        try:
            text = utf8_stream(stream, section.encoding, section.max_unpacked)
            file: RowFile[TableRow] = (
                CsvFile(text, model, section.separator) if form == "csv" else JsonFile(text, model)
            )
            return _FileLoad(context.connection, target, model, section, faults).run(file)
        except Unreadable as error:
            faults.end(error)
        except BadRow as bad:
            faults.add(bad)
    raise faults.rejection()


class _FileLoad:
    def __init__(
        self,
        connection: Connection,
        target: LoadTarget,
        model: RowModel[TableRow],
        section: InsertHandler,
        faults: RowFaults,
    ) -> None:
        self._connection = connection
        self._table, self._conflict = target.facts.table, target.conflict
        self._types = {column.name: column.type for column in target.facts.columns}
        self._model = model
        self._chunk_rows = section.chunk_rows
        self._faults = faults
        self._loader = self._open_loader()
        self._found = False

    def run(self, file: RowFile[TableRow]) -> int:
        """Insert the file's rows; how many they are."""
        inserted = 0
        # closed at once, whatever ends it: the other threads must not read from a file that is closed
        with closing(made_ahead(iter(file), self._made_ready_by(file), self._blocks_ahead)) as blocks:
            for ready in blocks:
                inserted += self._take(ready, file)
                if self._faults.are_full:
                    break
        if not self._found:
            raise Unreadable("no_rows", "no rows")
        if self._faults:
            raise self._faults.rejection()
        return inserted

    def _take(self, ready: Ready, file: RowFile[TableRow]) -> int:
        if ready.encoded is not None and self._load(ready):
            self._found = True
            return ready.row_count
        inserted = 0
        for part in ready.block.parts() if isinstance(ready.block, JsonBlock) else [ready.block]:
            inserted += self._take_rows(part, file)
            if self._faults.are_full:
                break
        return inserted

    def _take_rows(self, part: Block, file: RowFile[TableRow]) -> int:
        self._faults.begin(file, part)
        rows = list(file.rows(part, self._faults))
        self._found = self._found or bool(rows or self._faults.count)
        if part.error is not None:
            raise part.error
        return 0 if self._faults else self._insert(rows)

    def _open_loader(self) -> BlockLoader | None:
        if not can_load(self._connection):
            return None
        return open_loader(self._connection, self._table, self._types, self._conflict)

    @property
    def _blocks_ahead(self) -> int:
        has_arrays = self._loader is not None and self._loader.takes_arrays
        return BLOCKS_AHEAD_OF_ARRAYS if has_arrays else BLOCKS_AHEAD

    def _made_ready_by(self, file: RowFile[TableRow]) -> MakeReady:
        loader = self._loader
        if loader is None:
            return Ready
        columns_of = _columns_of(file, self._model, loader)

        def make_ready(block: Block) -> Ready:
            columns = None if columns_of is None else columns_of(block)
            return Ready(block) if columns is None else Ready(block, loader.encode(columns), columns.count)

        return make_ready

    def _load(self, ready: Ready) -> bool:
        if self._faults:
            return True  # it is right, and nothing of the file is kept
        assert self._loader is not None  # noqa: S101 - it has encoded the block
        return self._loader.load(self._connection, ready.encoded, ready.row_count)

    def _insert(self, rows: list[tuple[int, TableRow]]) -> int:
        return insert_rows(
            self._connection,
            self._table,
            NumberedRows(rows),
            chunk_rows=self._chunk_rows,
            conflict=self._conflict,
            note_refused=self._faults.note_refused,
        )


def _columns_of(file: RowFile[TableRow], model: RowModel[TableRow], loader: BlockLoader) -> ColumnsOf | None:
    if isinstance(file, CsvFile):
        return _csv_columns(file, model, loader)
    from_texts = json_columns(model, loader)
    from_arrays = json_arrays(model, loader.rules, updates=loader.updates) if loader.takes_arrays else None
    if from_texts is None or from_arrays is None:
        return from_texts
    if loader.takes_csv:
        # else each value becomes one of Python's, which take many times the room
        file.read_long_blocks(LINE_LENGTHS_OF_ARRAYS)
    return lambda block: from_arrays(block) or from_texts(block)


def _csv_columns(file: CsvFile[TableRow], model: RowModel[TableRow], loader: BlockLoader) -> ColumnsOf | None:
    from_texts = csv_columns(file, model, loader)
    read = csv_arrays(file, model, loader.rules) if loader.takes_arrays else None
    if read is not None and from_texts is not None:
        file.read_whole_by(read, RECORD_BYTES_MAXIMUM if loader.takes_csv else BLOCK_BYTES)
    return from_texts
