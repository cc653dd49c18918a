"""What is wrong with the rows of a file or a payload, gathered and told as a partner needs it."""

from collections.abc import Iterable
from typing import Any

import msgspec

from config.result import DETAILS_MAXIMUM, ErrorDetail
from handlers.contract import Reject
from handlers.row_bytes import Unreadable
from handlers.row_model import BadRow
from shards.good_rows import NoteRefused


class RowFaults:
    """The faults of one file's rows, as many as a result can carry; false while all rows can be loaded."""

    def __init__(self, subject: str) -> None:
        self.count = 0
        """How many rows have faults."""
        self._subject = subject
        self._code: str | None = None
        self._details: list[ErrorDetail] = []

    def __bool__(self) -> bool:
        return bool(self._details)

    @property
    def are_full(self) -> bool:
        """Whether a result can carry no more of them."""
        return len(self._details) >= DETAILS_MAXIMUM

    @property
    def note_refused(self) -> NoteRefused | None:
        """Is told of rows that the database refuses, where they are left out."""
        return None

    def begin(self, file: Any, block: Any) -> None:
        """The rows that are told from now on stand in this block of the file."""

    def add(self, bad: BadRow, number: int | None = None) -> None:
        """A row with this number, or the header, does not fit."""
        self.count += 1
        self._code = self._code or bad.code
        self._details += numbered(bad.faults, number)

    def end(self, error: Unreadable) -> None:
        """The file can be read no further."""
        self._code = error.code
        self._details.append(ErrorDetail(row=error.row, rule=error.rule))

    def rejection(self) -> Reject:
        """What the partner is told: the first fault in the message, all of them in the details."""
        first = self._details[0]
        places = [f"row {first.row}"] if first.row is not None else []
        places += [f"column {first.column}"] if first.column is not None else []
        place = f"{', '.join(places) or 'header'}: " if first.row or first.column else ""
        count = min(len(self._details), DETAILS_MAXIMUM) - 1
        more = f", and {count} more in the details" if count else ""
        return Reject(
            self._code or "invalid_rows",
            f"The rows of {self._subject} cannot be used: {place}{first.rule}{more}. "
            "Nothing was inserted; correct the rows and send the job again.",
            self._details,
        )


def numbered(faults: Iterable[ErrorDetail], number: int | None) -> list[ErrorDetail]:
    """The same faults, with the row's number."""
    return [msgspec.structs.replace(fault, row=number) for fault in faults]
