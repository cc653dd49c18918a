"""Blocks of CSV read by pyarrow, where they surely mean the same to it as to the slow way."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from handlers.array_patterns import csv_pattern
from handlers.block_arrays import ArrayColumn, Doubtful, Owner, array_columns, as_columns, fits, owner_of
from handlers.csv_blocks import ReadWhole
from handlers.row_bytes import BYTE_ORDER_MARK, ended
from handlers.row_files import CsvFile
from handlers.row_model import RowModel
from handlers.table_rows import TableRow
from shards.column_blocks import Columns
from shards.column_texts import TextRule

COLUMNS_MINIMUM: Final = 2
"""An empty line is a row of one column, and no row of more."""


def csv_arrays(
    file: CsvFile[TableRow], model: RowModel[TableRow], rules: Mapping[str, TextRule]
) -> ReadWhole | None:
    """What makes arrays of the file's blocks; None where a column has no type of pyarrow's.

    For a block in which anything is not surely right, it gives None.
    """
    try:
        columns, owner = array_columns(file.columns, rules), owner_of(model, rules)
    except Doubtful:
        return None
    if columns is None or len(columns) < COLUMNS_MINIMUM:
        return None
    return _CsvArrays(columns, owner, file.separator).read


class _CsvArrays:
    def __init__(self, columns: Sequence[ArrayColumn], owner: Owner | None, separator: str) -> None:
        from pyarrow import csv

        self._columns = columns
        self._owner = owner
        self._pattern = csv_pattern(columns, separator)
        self._parse = csv.ParseOptions(delimiter=separator, newlines_in_values=True)
        self._convert = csv.ConvertOptions(
            column_types={column.field.name: column.type for column in columns},
            strings_can_be_null=True,
            null_values=[""],
        )

    def read(self, data: bytes) -> Columns | None:
        import pyarrow as pa

        if data.startswith(BYTE_ORDER_MARK):
            return None  # to pyarrow it is none of a block's text
        lines = ended(data)
        try:
            if not fits(lines, self._pattern):
                return None
            return as_columns(self._columns, self._table(lines), self._owner)
        except (pa.ArrowException, Doubtful):
            return None

    def _table(self, data: bytes) -> Any:
        import pyarrow as pa
        from pyarrow import csv

        names = [column.field.name for column in self._columns]
        options = csv.ReadOptions(use_threads=False, column_names=names, block_size=len(data) + 1)
        return csv.read_csv(
            pa.BufferReader(data), options, self._parse, self._convert, memory_pool=pa.system_memory_pool()
        )
