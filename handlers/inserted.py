"""What the built-in insertion tells of a job's rows: how many are in, what was left out and why."""

from typing import Any

from config.result import DETAILS_MAXIMUM, RESULT_BYTES_MAXIMUM, ascii_json
from handlers.contract import Reject
from handlers.rejected_rows import Rejected, RejectedRows
from handlers.row_faults import RowFaults
from handlers.skipped_rows import TOO_MANY, SkippedRows


class Inserted:
    """The counts of one part, file by file."""

    def __init__(self) -> None:
        self._count = 0
        self._ignored: int | None = None
        self._skipped: list[SkippedRows] | None = None

    def add(self, count: int, faults: RowFaults) -> None:
        """So many rows of a file, or of the payload, were inserted, and these left out.

        Raises:
            Reject: there are bad rows, and not one good one.
        """
        self._count += count
        if isinstance(faults, SkippedRows):
            faults.finish(count)
            self._skipped = [*(self._skipped or ()), faults]

    def ignore(self, count: int | None) -> None:
        """So many of these rows were there already; None where nobody knows, or where that matters not."""
        self._ignored = count

    @property
    def skipped_count(self) -> int:
        """How many rows were left out."""
        return sum(faults.count for faults in self._skipped or ())

    def result(self) -> dict[str, Any]:
        """What the handler returns; files of rejected rows are stored for it.

        Raises:
            Reject: more attachments have bad rows than a result can name.
            KnownFailure: a file cannot be stored now.
        """
        told: dict[str, Any] = {"inserted": self._count - (self._ignored or 0)}
        if self._ignored is not None:
            told["ignored"] = self._ignored
        if self._skipped is None:
            return told
        told["skipped"] = self.skipped_count
        bad = [faults for faults in self._skipped if faults.count]
        rejected = [faults.put() for faults in bad if isinstance(faults, RejectedRows)]
        if rejected:
            told["rejected"] = rejected
        elif bad:
            told["details"] = bad[0].details
        return _within_limits(told, rejected)


def _within_limits(told: dict[str, Any], rejected: list[Rejected]) -> dict[str, Any]:
    """The same with as many details as a result can carry; none where they are too long for it."""
    if not rejected:
        return told
    room = DETAILS_MAXIMUM
    for each in rejected:
        each.details = each.details[:room]
        room -= len(each.details)
    if len(ascii_json(told)) > RESULT_BYTES_MAXIMUM:
        for each in rejected:
            each.details = []
    if len(ascii_json(told)) > RESULT_BYTES_MAXIMUM:
        raise Reject(TOO_MANY, "More attachments have bad rows than a result can name. Nothing was inserted.")
    return told
