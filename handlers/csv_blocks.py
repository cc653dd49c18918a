"""CSV cut into blocks of whole records, in bounded memory, each record known by its row's number."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from typing import Final

from handlers.row_bytes import Source, Unreadable
from shards.column_blocks import Columns

RECORD_BYTES_MAXIMUM: Final = 2**20
BLOCK_BYTES: Final = 2**19
FIELD_CHARACTERS_MAXIMUM: Final = 131_072
"""Python's own reader takes no longer field; where there may be one, it decides."""
SEPARATOR: Final = ","
HEADER_ROW: Final = 1
DOUBLED: Final = b"\x02"
MISPLACED: Final = rb"[^%(separator)s\n\x02][\"\x02]|\"[^%(separator)s\r\n]|\x02[^%(separator)s\r\n\x02\"]"

Record = tuple[int, list[str]]
"""A row's number as a spreadsheet shows it, and its cells; an empty line has none."""

ReadWhole = Callable[[bytes], Columns | None]
"""Reads whole lines at once; None where they are not surely records without an empty line between them."""


class CsvBlock:
    """Some whole records. `data` are their bytes where every quote in them stands as it should.

    Only then are the bytes understood alike by everyone who reads CSV. `error` is why the file cannot be read
    beyond the records.
    """

    def __init__(self, number: int, data: bytes | None, separator: str) -> None:
        self.number = number
        self.data = data
        self.error: Unreadable | None = None
        self.columns: Columns | None = None
        """The records, where they were read at once."""
        self._separator = separator
        self._records: list[Record] | None = None

    def add(self, records: list[Record], error: Unreadable | None) -> None:
        """What reading line by line gave: the records and why it went no further."""
        self._records, self.error = records, error

    def cells(self) -> list[list[str]] | None:
        """The records' cells, read at once; None where only reading line by line tells what is there."""
        if self.data is None:
            return None
        try:
            text = io.StringIO(self.data.decode("utf-8"), newline="\n")
            return list(csv.reader(text, delimiter=self._separator, strict=True))
        except (csv.Error, UnicodeDecodeError):
            return None

    def records(self) -> list[Record]:
        """The records with their numbers, as far as they can be read; `error` is known afterwards."""
        if self._records is None:
            cells = self.cells()
            if cells is not None:
                self._records = list(enumerate(cells, start=self.number))
            else:
                lines = _Lines(io.BytesIO(self.data or b""), RECORD_BYTES_MAXIMUM)
                self.add(*_read_by_line(lines, self.number, self._separator, RECORD_BYTES_MAXIMUM))
        return self._records or []


class CsvBlocks:
    """The blocks of a CSV file behind its header; no record may be longer than `record_bytes_maximum`."""

    def __init__(
        self,
        stream: Source,
        separator: str = SEPARATOR,
        record_bytes_maximum: int = RECORD_BYTES_MAXIMUM,
    ) -> None:
        self._lines = _Lines(stream, record_bytes_maximum)
        self._separator = separator
        self._mark = separator.encode("ascii")
        self._bytes = record_bytes_maximum
        self._number = HEADER_ROW
        self.read_whole: ReadWhole | None = None
        self.whole_bytes = record_bytes_maximum
        """About how many bytes are read at once by it."""

    def header(self) -> list[str]:
        """The first record that is not empty.

        Raises:
            Unreadable: `empty_file`, or why it cannot be read.
        """
        while self._lines.fill():
            records, error = _read_by_line(self._lines, self._number, self._separator, 0)
            if error is not None:
                raise error
            self._number += len(records)
            for number, cells in records:
                if any("\0" in cell for cell in cells):
                    raise Unreadable("nul_bytes", "NUL bytes", number)
                if cells:
                    return cells
        raise Unreadable("empty_file", "no header and no rows")

    def __iter__(self) -> Iterator[CsvBlock]:
        """The blocks. What the stream raises comes with the number of the row that was to be read."""
        while self._fill():
            block = self._block_at_once() or self._regular_block() or self._block_by_line()
            yield block
            if block.error is not None:
                return

    def _fill(self) -> bool:
        try:
            return self._lines.fill()
        except Unreadable as error:
            error.row = self._number
            raise

    def _block_at_once(self) -> CsvBlock | None:
        if self.read_whole is None:
            return None
        data = self._lines.whole_lines(b'"', min(self.whole_bytes, self._bytes))
        columns = self.read_whole(data) if data else None
        if columns is None:
            return None
        self._lines.take(len(data))
        block = CsvBlock(self._number, data, self._separator)
        block.columns = columns
        self._number += columns.count
        return block

    def _regular_block(self) -> CsvBlock | None:
        data = self._lines.whole_lines(b'"', min(BLOCK_BYTES, self._bytes))
        count = _count_regular_records(data, self._mark) if data else None
        if count is None:
            return None
        self._lines.take(len(data))
        block = CsvBlock(self._number, data, self._separator)
        self._number += count
        return block

    def _block_by_line(self) -> CsvBlock:
        block = CsvBlock(self._number, None, self._separator)
        records, error = _read_by_line(self._lines, self._number, self._separator, self._bytes)
        block.add(records, error)
        self._number += len(records)
        return block


class _Lines(Iterator[str]):
    """The lines of a UTF-8 stream, never more than one record's worth of bytes in hand."""

    def __init__(self, stream: Source, bytes_maximum: int) -> None:
        self._stream = stream
        self._maximum = bytes_maximum
        self._held = b""
        self._at = 0
        self._record_begin = 0
        self._ended = False

    @property
    def taken(self) -> int:
        """How many bytes were taken since the last `fill`."""
        return self._at

    def fill(self) -> bool:
        """Read until as much is held as may be; whether anything is."""
        self._held = self._held[self._at :]
        self._at = self._record_begin = 0
        while len(self._held) <= self._maximum and not self._ended:
            self._read()
        return bool(self._held)

    def whole_lines(self, quote: bytes, bytes_wanted: int) -> bytes:
        """About so many bytes of lines, up to the last at whose end no quote is open; none may be."""
        held = self._held
        if self._ended and len(held) <= bytes_wanted and held.count(quote) % 2 == 0:
            return held
        end = held.rfind(b"\n", 0, bytes_wanted) + 1 or held.rfind(b"\n", 0, self._maximum) + 1
        quotes = held.count(quote, 0, end)
        while end and quotes % 2:
            before = held.rfind(b"\n", 0, end - 1) + 1
            quotes -= held.count(quote, before, end)
            end = before
        return held[:end]

    def take(self, count: int) -> None:
        """These bytes were read."""
        self._at = count

    @property
    def has_open_quote(self) -> bool:
        """Whether a quote is open at the end of what was read of the record."""
        return self._held.count(b'"', self._record_begin, self._at) % 2 == 1

    def begin_record(self) -> None:
        """A record begins with the next line: its bytes are counted anew."""
        self._record_begin = self._at

    def __next__(self) -> str:
        end = self._line_end()
        line = self._held[self._at : end]
        if not line:
            raise StopIteration
        self._at = end
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError:
            raise Unreadable("wrong_encoding", "not UTF-8") from None

    def _line_end(self) -> int:
        while not (end := self._held.find(b"\n", self._at) + 1) and not self._ended and not self._is_full():
            self._read()
        end = end or len(self._held)
        if end - self._record_begin > self._maximum:
            raise self._too_long()
        return end

    def _is_full(self) -> bool:
        return len(self._held) - self._record_begin > self._maximum

    def _too_long(self) -> Unreadable:
        # a quote that nobody closes takes in all that follows
        if self._held.count(b'"', self._record_begin, self._record_begin + self._maximum) % 2:
            return _never_closed()
        return Unreadable("record_too_long", f"longer than {self._maximum} bytes")

    def _read(self) -> None:
        data = self._stream.read(self._maximum + 1 - (len(self._held) - self._record_begin))
        self._held += data
        self._ended = not data


def _read_by_line(
    lines: _Lines, number: int, separator: str, bytes_wanted: int
) -> tuple[list[Record], Unreadable | None]:
    """Records until so many bytes are read, at least one; and why there can be no more."""
    records: list[Record] = []
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        while not records or lines.taken < bytes_wanted:
            lines.begin_record()
            records.append((number + len(records), next(reader)))
    except StopIteration:
        return records, None
    except csv.Error as error:
        return records, _not_csv(error, lines, number + len(records))
    except Unreadable as error:
        error.row = number + len(records)
        return records, error
    return records, None


def _not_csv(error: csv.Error, lines: _Lines, row: int) -> Unreadable:
    # the module's texts are all that it tells; an unknown one is taken for the general case
    text = str(error)
    if text == "unexpected end of data":
        return _never_closed(row)
    if text.startswith("field larger"):
        if lines.has_open_quote:
            return _never_closed(row)
        return Unreadable(
            "record_too_long", f"a field has more than {csv.field_size_limit()} characters", row
        )
    return Unreadable("not_csv", "a quote has text behind it, or a line ends without a newline", row)


def _never_closed(row: int | None = None) -> Unreadable:
    return Unreadable("quote_not_closed", "a quote is never closed", row)


def _count_regular_records(data: bytes, separator: bytes) -> int | None:
    """How many records there are; None where a quote or a carriage return stands where readers differ.

    A quote is at its place at a field's beginning, at its end or doubled inside.
    """
    if DOUBLED in data or (b"\r" in data and data.count(b"\r") != data.count(b"\r\n")):
        return None
    unended = not data.endswith(b"\n")
    if b'"' not in data:
        return data.count(b"\n") + unended
    pieces = data.replace(b'""', DOUBLED).split(b'"')
    outside = b'"'.join(pieces[::2])
    if len(pieces) % 2 == 0 or not _are_fields(outside, len(pieces) // 2, separator):
        return None
    return outside.count(b"\n") + unended


def _are_fields(outside: bytes, quoted_count: int, separator: bytes) -> bool:
    """Whether fields begin and end where quoted text was cut out, and one quote was left for it."""
    marked = b"\n" + outside + b"\n"
    if DOUBLED in outside:
        # rare: fields that are quoted and empty, or begin with a quote of their own
        return re.search(MISPLACED % {b"separator": re.escape(separator)}, marked) is None
    begins = sum(marked.count(sign + b'"') for sign in (separator, b"\n"))
    ends = sum(marked.count(b'"' + sign) for sign in (separator, b"\n", b"\r"))
    return begins == quoted_count == ends
