"""Reading rows from CSV and JSON Lines as a stream, in bounded memory, and telling every fault by its row."""

import csv
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import BinaryIO, Final, TypeVar

import msgspec

from config.result import DETAILS_MAXIMUM, ErrorDetail
from handlers.contract import Reject
from handlers.row_model import BadRow, RowModel, row_model

Row = TypeVar("Row")
Item = TypeVar("Item")

RECORD_BYTES_MAXIMUM: Final = 2**20
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def csv_rows(
    stream: BinaryIO, model: type[Row], *, record_bytes_maximum: int = RECORD_BYTES_MAXIMUM
) -> Iterator[Row]:
    """The rows of a CSV file, one by one, each an instance of the model.

    UTF-8 with or without a byte order mark; commas, double quotes, quoted newlines; the first line names the
    columns. Empty lines are skipped. An empty field is None where the model takes None.

    At the first fault the rows end, but not the reading: all faults, up to 100, are told together.

    Args:
        stream: The file's bytes.
        model: A msgspec Struct, a dataclass or a TypedDict.
        record_bytes_maximum: The longest record, in bytes.

    Raises:
        Reject: `invalid_rows`; `details` tell the rows' numbers (1 is the first after the header), columns
            and rules: unknown, repeated and missing columns, wrong types, a wrong number of columns.
        TypeError: rows cannot be decoded to the model.
    """
    return read_csv(stream, row_model(model), "the CSV file", record_bytes_maximum)


def json_rows(
    stream: BinaryIO, model: type[Row], *, line_bytes_maximum: int = RECORD_BYTES_MAXIMUM
) -> Iterator[Row]:
    """The rows of a JSON Lines file, one by one, each an instance of the model.

    One JSON object on each line, UTF-8; empty lines are skipped. Fields that the model does not know are
    faults. At the first fault the rows end, but not the reading: all faults, up to 100, are told together.

    Args:
        stream: The file's bytes.
        model: A msgspec Struct, a dataclass or a TypedDict.
        line_bytes_maximum: The longest line, in bytes.

    Raises:
        Reject: `invalid_rows`; `details` tell the rows' numbers (1 is the first), columns and rules.
        TypeError: rows cannot be decoded to the model.
    """
    return read_json_lines(stream, row_model(model), "the JSON Lines file", line_bytes_maximum)


def read_csv(
    stream: BinaryIO, model: RowModel[Row], subject: str, record_bytes_maximum: int = RECORD_BYTES_MAXIMUM
) -> Iterator[Row]:
    """As `csv_rows`, with a row model; `subject` is what messages call the file."""
    records = _csv_records(stream, record_bytes_maximum)
    try:
        header = next(records, None)
        if header is None:
            return
        columns = model.columns(header)
    except _Unreadable as error:
        raise _rejection(subject, [ErrorDetail(rule=error.rule)]) from None
    except BadRow as bad:
        raise _rejection(subject, bad.faults) from None
    yield from decoded_rows(records, partial(model.from_texts, columns), subject)


def read_json_lines(
    stream: BinaryIO, model: RowModel[Row], subject: str, line_bytes_maximum: int = RECORD_BYTES_MAXIMUM
) -> Iterator[Row]:
    """As `json_rows`, with a row model; `subject` is what messages call the file."""
    return decoded_rows(_json_lines(stream, line_bytes_maximum), model.from_json, subject)


def decoded_rows(items: Iterable[Item], decode: Callable[[Item], Row], subject: str) -> Iterator[Row]:
    """The decoded items up to the first with a fault; then, when all faults are known, `Reject`."""
    faults: list[ErrorDetail] = []
    number = 0
    try:
        for number, item in enumerate(items, start=1):
            try:
                row = decode(item)
            except BadRow as bad:
                faults += [msgspec.structs.replace(fault, row=number) for fault in bad.faults]
                if len(faults) >= DETAILS_MAXIMUM:
                    break
            else:
                if not faults:
                    yield row
    except _Unreadable as error:
        faults.append(ErrorDetail(row=number + 1, rule=error.rule))
    if faults:
        raise _rejection(subject, faults)


class _Unreadable(Exception):
    """The stream cannot be read further."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


class _TextLines(Iterator[str]):
    """The lines of a UTF-8 stream, never more than one record's worth of bytes in hand."""

    def __init__(self, stream: BinaryIO, record_bytes_maximum: int) -> None:
        self._stream = stream
        self._maximum = record_bytes_maximum
        self._left = record_bytes_maximum
        self._first = True

    def begin_record(self) -> None:
        """A record begins with the next line: its bytes are counted anew."""
        self._left = self._maximum

    def __next__(self) -> str:
        line = _read_line(self._stream, self._left, self._maximum)
        if not line:
            raise StopIteration
        self._left -= len(line)
        if self._first:
            line = line.removeprefix(BYTE_ORDER_MARK)
            self._first = False
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError:
            raise _Unreadable("not UTF-8") from None


def _csv_records(stream: BinaryIO, record_bytes_maximum: int) -> Iterator[list[str]]:
    lines = _TextLines(stream, record_bytes_maximum)
    reader = csv.reader(lines, strict=True)
    while True:
        lines.begin_record()
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error:
            raise _Unreadable(
                "not CSV: a quote is not closed or has text behind it, a line ends without a newline, "
                f"or a field has more than {csv.field_size_limit()} characters"
            ) from None
        if record:
            yield record


def _json_lines(stream: BinaryIO, line_bytes_maximum: int) -> Iterator[bytes]:
    mark = BYTE_ORDER_MARK
    while line := _read_line(stream, line_bytes_maximum, line_bytes_maximum):
        line = line.removeprefix(mark).strip()
        mark = b""
        if line:
            yield line


def _read_line(stream: BinaryIO, bytes_left: int, record_bytes_maximum: int) -> bytes:
    line = stream.readline(bytes_left + 1)
    if len(line) > bytes_left:
        raise _Unreadable(f"longer than {record_bytes_maximum} bytes")
    return line


def _rejection(subject: str, faults: list[ErrorDetail]) -> Reject:
    first = faults[0]
    places = [f"row {first.row}"] if first.row is not None else []
    places += [f"column {first.column}"] if first.column is not None else []
    place = ", ".join(places) or "header"
    more = f", and {min(len(faults), DETAILS_MAXIMUM) - 1} more in the details" if len(faults) > 1 else ""
    return Reject(
        "invalid_rows",
        f"The rows of {subject} cannot be used: {place}: {first.rule}{more}. "
        "Nothing was inserted; correct the rows and send the job again.",
        faults,
    )
