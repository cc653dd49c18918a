"""Sharing: which parts may share a transaction, and for which job types that does not pay for a while."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from config.settings import JobType, Settings
from worker.job_in_hand import Part

ALONE: Final = 1
FAILED_SHARE_MAXIMUM: Final = 0.03
"""With more failures than this in groups of ten, running parts a second time costs what sharing saves."""

FAILURES_MINIMUM: Final = 3
PARTS_REMEMBERED: Final = 1000
OFF_SECONDS: Final = 600.0
LONG_SECONDS: Final = 5.0
"""A transaction that takes longer makes parts wait for each other, whatever it saves."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Record:
    """What is remembered of a job type: how many of its parts shared, and how many of them failed."""

    parts: int = 0
    failed: int = 0
    off_until: float | None = None


class Sharing:
    """Says how many parts may share, and switches a job type off where that does not pay; thread-safe.

    Where there is middleware, nothing is shared: it goes around one part, and its transaction.
    `monotonic` gives seconds that only grow.
    """

    def __init__(
        self, settings: Settings, monotonic: Callable[[], float], *, has_middleware: bool = False
    ) -> None:
        self._monotonic = monotonic
        self._has_middleware = has_middleware
        self._lock = threading.Lock()
        self._records: dict[str, _Record] = {}
        self.apply(settings)

    def apply(self, settings: Settings) -> None:
        """Go by these settings from now on."""
        self._limits = {} if self._has_middleware else _limits(settings)

    def limit_of(self, part: Part) -> int:
        """How many parts may share the transaction of this one, itself included; 1: it runs alone.

        Alone runs what may have a row in the inbox, or must have one before its handler is called: a part
        that may have come before, one that is refused, one that may kill its process; and a dry run's, which
        is rolled back.
        """
        limit = self._limits.get(part.owner.job_type, ALONE) if self._limits else ALONE
        if limit == ALONE or not _is_new(part) or self._is_off(part.owner.job_type):
            return ALONE
        return limit

    def note_shared(self, parts: Sequence[Part], seconds: float) -> None:
        """These parts were committed together, which took so long."""
        with self._lock:
            for job_type, count in Counter(part.owner.job_type for part in parts).items():
                self._count(job_type, count)
                if seconds > LONG_SECONDS:
                    self._switch_off(job_type, f"A transaction took {seconds:.1f} s.")

    def note_apart(self, parts: Sequence[Part], culprit: Part | None, error: BaseException | None) -> None:
        """These parts were rolled back together, for what became of the culprit if it was one of them."""
        with self._lock:
            for part in parts:
                self._count(part.owner.job_type, 1)
        if culprit is not None:
            self.note_failed(culprit, f"The last one with {type(error).__name__}.")

    def note_failed(self, part: Part, msg: str = "") -> None:
        """This part was why others that shared with it had to be run again."""
        job_type = part.owner.job_type
        with self._lock:
            record = self._records.setdefault(job_type, _Record())
            record.failed += 1
            if record.failed >= FAILURES_MINIMUM and record.failed > record.parts * FAILED_SHARE_MAXIMUM:
                self._switch_off(job_type, f"{record.failed} of {record.parts} parts failed. {msg}".strip())

    def _count(self, job_type: str, parts: int) -> None:
        record = self._records.setdefault(job_type, _Record())
        record.parts += parts
        if record.parts > PARTS_REMEMBERED:
            record.parts //= 2
            record.failed //= 2

    def _switch_off(self, job_type: str, msg: str) -> None:
        record = self._records.setdefault(job_type, _Record())
        if record.off_until is None:
            record.off_until = self._monotonic() + OFF_SECONDS
            log.warning("sharing.off", type=job_type, msg=msg)

    def _is_off(self, job_type: str) -> bool:
        record = self._records.get(job_type)
        if record is None or record.off_until is None:
            return False
        if self._monotonic() < record.off_until:
            return True
        with self._lock:
            if self._records[job_type] is record:
                self._records[job_type] = _Record()
                log.info("sharing.on", type=job_type)
        return False


def _limits(settings: Settings) -> dict[str, int]:
    sections: dict[str, JobType] = settings.types
    return {name: section.group for name, section in sections.items() if section.group > ALONE}


def _is_new(part: Part) -> bool:
    owner = part.owner
    return (
        part.refusal is None
        and not part.start_counted
        and not owner.suspect
        and not owner.came_before
        and owner.handler is not None
        and not owner.job.dry_run
    )
