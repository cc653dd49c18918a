"""Files of rows, CSV and JSON Lines: their blocks, and the rows in a block as the model decodes them."""

from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, Generic, TypeVar

from handlers.csv_blocks import RECORD_BYTES_MAXIMUM, SEPARATOR, CsvBlock, CsvBlocks, ReadWhole
from handlers.json_blocks import JsonBlock, JsonBlocks
from handlers.row_bytes import Source, Unreadable, utf8_stream
from handlers.row_faults import RowFaults
from handlers.row_model import BadRow, RowField, RowModel

Row = TypeVar("Row")

Block = CsvBlock | JsonBlock


class CsvFile(Generic[Row]):
    """A CSV file of UTF-8 text, whose header is read when it is made.

    Raises:
        Unreadable, BadRow: there is no header, or it does not fit.
    """

    def __init__(
        self,
        stream: Source,
        model: RowModel[Row],
        separator: str = SEPARATOR,
        record_bytes_maximum: int = RECORD_BYTES_MAXIMUM,
    ) -> None:
        self._blocks = CsvBlocks(stream, separator, record_bytes_maximum)
        self.separator = separator
        self.header = self._blocks.header()
        self.columns: list[RowField] = model.columns(self.header)
        self._decode = partial(model.from_texts, self.columns)

    def read_whole_by(self, read: ReadWhole, block_bytes: int = RECORD_BYTES_MAXIMUM) -> None:
        """Let this read blocks of about so many bytes at once, where it can: they have `columns` then."""
        self._blocks.read_whole = read
        self._blocks.whole_bytes = block_bytes

    def __iter__(self) -> Iterator[Block]:
        return iter(self._blocks)

    def rows(self, block: Block, faults: RowFaults) -> Iterator[tuple[int, Row]]:
        """The block's good rows with their numbers; the others' faults are added."""
        assert isinstance(block, CsvBlock)  # noqa: S101 - it came from here
        for number, cells in block.records():
            if cells:
                try:
                    row = self._decode(cells)
                except BadRow as bad:
                    faults.add(bad, number)
                else:
                    yield number, row
            if faults.are_full:
                return


class JsonFile(Generic[Row]):
    """A JSON Lines file of UTF-8 text."""

    def __init__(
        self, stream: Source, model: RowModel[Row], line_bytes_maximum: int = RECORD_BYTES_MAXIMUM
    ) -> None:
        self._blocks = JsonBlocks(stream, line_bytes_maximum)
        self._decode = model.from_json

    def read_long_blocks(self, line_lengths: int) -> None:
        """Let blocks be so many times as long as a line may be."""
        self._blocks.line_lengths = line_lengths

    def __iter__(self) -> Iterator[Block]:
        return iter(self._blocks)

    def rows(self, block: Block, faults: RowFaults) -> Iterator[tuple[int, Row]]:
        """The block's good rows with their numbers; the others' faults are added."""
        assert isinstance(block, JsonBlock)  # noqa: S101 - it came from here
        for number, line in block.lines():
            try:
                row = self._decode(line)
            except BadRow as bad:
                faults.add(bad, number)
            else:
                yield number, row
            if faults.are_full:
                return


RowFile = CsvFile[Row] | JsonFile[Row]


def open_csv(
    stream: BinaryIO, model: RowModel[Row], subject: str, record_bytes_maximum: int = RECORD_BYTES_MAXIMUM
) -> CsvFile[Row]:
    """A CSV file with commas, UTF-8, perhaps packed; raises `Reject` where its header cannot be used."""
    faults = RowFaults(subject)
    try:
        return CsvFile(utf8_stream(stream), model, record_bytes_maximum=record_bytes_maximum)
    except Unreadable as error:
        faults.end(error)
    except BadRow as bad:
        faults.add(bad)
    raise faults.rejection()


def file_rows(file: RowFile[Row], subject: str) -> Iterator[tuple[int, Row]]:
    """The numbered rows up to the first with a fault; then, when all faults are known, `Reject`."""
    faults = RowFaults(subject)
    found = False
    try:
        for block in file:
            for numbered in file.rows(block, faults):
                found = True
                if not faults:
                    yield numbered
            if block.error is not None:
                raise block.error
            if faults.are_full:
                break
        if not found and not faults:
            raise Unreadable("no_rows", "no rows")
    except Unreadable as error:
        faults.end(error)
    if faults:
        raise faults.rejection()
