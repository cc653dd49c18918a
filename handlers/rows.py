"""Reading rows from CSV and JSON Lines as a stream, in bounded memory, and telling every fault by its row."""

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, TypeVar

from handlers.csv_blocks import RECORD_BYTES_MAXIMUM
from handlers.row_bytes import utf8_stream
from handlers.row_faults import RowFaults
from handlers.row_files import JsonFile, file_rows, open_csv
from handlers.row_model import BadRow, RowModel, row_model
from shards.bulk import NumberedRows

Row = TypeVar("Row")
Item = TypeVar("Item")


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
    rows = _csv_rows(stream, row_model(model), record_bytes_maximum)
    return NumberedRows(rows)


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
    file = JsonFile(utf8_stream(stream), row_model(model), line_bytes_maximum)
    return NumberedRows(file_rows(file, "the JSON Lines file"))


def decoded_rows(
    items: Iterable[Item], decode: Callable[[Item], Row], faults: RowFaults
) -> Iterator[tuple[int, Row]]:
    """The decoded items, numbered; where no row may be left out, up to the first fault, and then `Reject`."""
    for number, item in enumerate(items, start=1):
        try:
            row = decode(item)
        except BadRow as bad:
            faults.add(bad, number)
            if faults.are_full:
                break
        else:
            if not faults:
                yield number, row
    if faults:
        raise faults.rejection()


def _csv_rows(stream: BinaryIO, model: RowModel[Row], record_bytes_maximum: int) -> Iterator[tuple[int, Row]]:
    # a generator: nothing is read before the first row is asked for
    subject = "the CSV file"
    yield from file_rows(open_csv(stream, model, subject, record_bytes_maximum), subject)
