"""Bad rows that are left out while the others are loaded: how many, why, and how many are too many."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from config.result import DETAILS_MAXIMUM, ErrorDetail
from handlers.contract import Reject
from handlers.row_bytes import Unreadable
from handlers.row_faults import RowFaults, numbered
from handlers.row_model import BadRow
from shards.failures import Failure
from shards.good_rows import NoteRefused

TOO_MANY: Final = "too_many_bad_rows"


class Bad(NamedTuple):
    """Why a row is left out."""

    code: str
    details: Sequence[ErrorDetail]


class SkippedRows(RowFaults):
    """The faults of rows that are left out; never true, since they keep no other row out.

    Both those that do not fit their model and those that the database refuses count. They are told in the
    order of the rows, when `settle` is called.

    Args:
        subject: What has the rows, as messages call it.
        maximum: With more rows than that, `Reject` is raised.
    """

    def __init__(self, subject: str, maximum: int) -> None:
        super().__init__(subject)
        self._maximum = maximum
        self._pending: dict[int, Bad] = {}

    def __bool__(self) -> bool:
        return False

    @property
    def are_full(self) -> bool:
        """Never: all of them are counted."""
        return False

    @property
    def details(self) -> list[ErrorDetail]:
        """The first faults, as many as a result can carry."""
        return self._details

    def add(self, bad: BadRow, number: int | None = None) -> None:
        """A row with this number does not fit, and is left out; or the header, and nothing can be loaded."""
        if number is None:
            super().add(bad)
        else:
            self._leave_out(number, Bad(bad.code, numbered(bad.faults, number)))

    @property
    def note_refused(self) -> NoteRefused:
        """Is told of rows that the database refuses: they are left out, too."""
        return self._refuse

    def _refuse(self, number: int, failure: Failure) -> None:
        places = failure.details or (ErrorDetail(rule=failure.code),)
        self._leave_out(number, Bad(failure.code, numbered(places, number)))

    def end(self, error: Unreadable) -> None:
        """The file can be read no further: that counts, whatever is wrong with its rows."""
        self._details = []
        super().end(error)

    def settle(self) -> None:
        """Tell what was left out since the last call."""
        pending, self._pending = self._pending, {}
        for number, bad in sorted(pending.items()):
            self._tell(number, bad)

    def finish(self, kept_count: int) -> None:
        """All rows were looked at, and so many could be kept.

        Raises:
            Reject: there are bad rows, and not one good one; with the code of the first fault.
        """
        self.settle()
        if self.count and not kept_count:
            raise self.rejection()

    def _leave_out(self, number: int, bad: Bad) -> None:
        self.count += 1
        self._pending[number] = bad
        if self.count > self._maximum:
            self.settle()
            raise self._too_many(f"more than {self._maximum} rows are bad")

    def _tell(self, _number: int, bad: Bad) -> None:
        self._code = self._code or bad.code
        self._details += bad.details[: DETAILS_MAXIMUM - len(self._details)]

    def _too_many(self, reason: str) -> Reject:
        return Reject(
            TOO_MANY,
            f"The rows of {self._subject} cannot be used: {reason}, so that it may be another file than was "
            "meant. Nothing was inserted; correct the rows and send the job again.",
            self._details,
        )


class SkippedInPayload(SkippedRows):
    """The same for rows that no file is made of: there are no more than a result can name one by one."""

    def _tell(self, number: int, bad: Bad) -> None:
        if len(self._details) + len(bad.details) > DETAILS_MAXIMUM:
            raise self._too_many(f"they have more faults than a result can tell, which are {DETAILS_MAXIMUM}")
        super()._tell(number, bad)
