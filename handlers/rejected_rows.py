"""The files of an attachment's bad rows: the rows as they came, to be corrected, and their faults."""

import codecs
import csv
import gzip
import io
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

from msgspec import Struct

from config.result import ErrorDetail
from config.settings import InsertHandler
from handlers.beside import FileBeside, StoredFile
from handlers.contract import LocalAttachment, PartContext
from handlers.csv_blocks import HEADER_ROW, CsvBlock
from handlers.json_blocks import JsonBlock
from handlers.row_bytes import BYTE_ORDER_MARK, GZIP_MAGIC, is_utf8
from handlers.row_files import Block, CsvFile, RowFile
from handlers.skipped_rows import Bad, SkippedRows

FAULTS_NAME: Final = "faults.csv"
FAULTS_HEADER: Final = ("row", "rejected_row", "column", "rule")
REJECTED_BYTES_MAXIMUM: Final = 64 * 2**20
"""What both files may take together: they are stored while the transaction is open."""


class Rejected(Struct, kw_only=True):
    """What a result tells of an attachment's rows that were left out; without files in a dry run."""

    attachment: str
    skipped: int
    rows: StoredFile | None
    faults: StoredFile | None
    details: Sequence[ErrorDetail]


class RejectedRows(SkippedRows):
    """The bad rows of an attachment, each written to a file as it came, and its faults to another one.

    Args:
        context: The part's.
        attachment: The attachment.
        section: How it is read.
        files: Closes the files; nothing is stored of those that were not `put` before.
    """

    def __init__(
        self, context: PartContext, attachment: LocalAttachment, section: InsertHandler, files: ExitStack
    ) -> None:
        super().__init__(f"the attachment {attachment.name!r}", section.bad_rows_maximum)
        self._context = context
        self._attachment = attachment
        self._encoding = section.encoding
        self._files = files
        self._file: RowFile[Any] | None = None
        self._block: Block | None = None
        self._records: dict[int, Any] = {}
        self._writer: _Writer | None = None

    def begin(self, file: RowFile[Any], block: Block) -> None:
        """The rows that are told from now on stand in this block."""
        self.settle()
        self._file, self._block = file, block

    def settle(self) -> None:
        """Tell and write what was left out of the block."""
        if self._pending:
            self._records = _records_of(self._block)
            super().settle()
            self._records = {}

    def put(self) -> Rejected:
        """Store the files; what a result tells of them. Raises as `PartContext.file_beside` says."""
        rows, faults = (None, None) if self._writer is None else self._writer.put()
        return Rejected(
            attachment=self._attachment.name,
            skipped=self.count,
            rows=rows,
            faults=faults,
            details=self._details,
        )

    def _tell(self, number: int, bad: Bad) -> None:
        super()._tell(number, bad)
        writer = self._writer = self._writer or self._open()
        writer.add(self._records[number], bad.details)
        if writer.size > REJECTED_BYTES_MAXIMUM:
            raise self._too_many(f"the bad ones take more than {REJECTED_BYTES_MAXIMUM} bytes")

    def _open(self) -> "_Writer":
        form = "csv" if isinstance(self._file, CsvFile) else "jsonl"
        rows, faults = (
            self._files.enter_context(self._context.file_beside(self._attachment.name, name))
            for name in (f"rejected.{form}", FAULTS_NAME)
        )
        if is_utf8(self._encoding) and _has_mark(self._attachment):
            rows.write(BYTE_ORDER_MARK)
        return _Writer(rows, faults, self._file, self._encoding)


class _Writer:
    """Writes rows in their own encoding, and their faults in UTF-8."""

    def __init__(
        self, rows: FileBeside, faults: FileBeside, file: RowFile[Any] | None, encoding: str
    ) -> None:
        self._rows = rows
        self._faults = faults
        self._separator = file.separator if isinstance(file, CsvFile) else None
        self._encoder = (
            None if is_utf8(encoding) else codecs.getincrementalencoder(encoding)("backslashreplace")
        )
        self._row = 0
        self.size = 0
        self._write(faults, _csv_line(FAULTS_HEADER))
        if isinstance(file, CsvFile):
            self._row = HEADER_ROW
            self._write(rows, self._encoded(_csv_line(file.header, file.separator)))

    def add(self, record: Sequence[str] | bytes, details: Sequence[ErrorDetail]) -> None:
        """A row as it came, and what is wrong with it."""
        self._row += 1
        line = record + b"\n" if isinstance(record, bytes) else _csv_line(record, self._separator or ",")
        self._write(self._rows, self._encoded(line))
        for detail in details:
            self._write(
                self._faults,
                _csv_line([str(detail.row), str(self._row), detail.column or "", detail.rule or ""]),
            )

    def put(self) -> tuple[StoredFile | None, StoredFile | None]:
        """Store both."""
        return self._rows.put(), self._faults.put()

    def _encoded(self, line: bytes) -> bytes:
        return line if self._encoder is None else self._encoder.encode(line.decode())

    def _write(self, file: FileBeside, data: bytes) -> None:
        self.size += len(data)
        file.write(data)


def _has_mark(attachment: LocalAttachment) -> bool:
    """Whether a spreadsheet would know by a mark that the file is UTF-8."""
    with attachment.open() as stream:
        is_packed = stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        stream.seek(0)
        text = gzip.GzipFile(fileobj=stream) if is_packed else stream
        return text.read(len(BYTE_ORDER_MARK)) == BYTE_ORDER_MARK


def _records_of(block: Block | None) -> dict[int, Any]:
    """The block's rows by their numbers."""
    match block:
        case CsvBlock():
            return dict(block.records())
        case JsonBlock():
            return dict(block.lines())
        case _:
            return {}


def _csv_line(cells: Sequence[str], separator: str = ",") -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line, delimiter=separator).writerow(cells)
    return line.getvalue().encode()
