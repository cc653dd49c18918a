"""Stop marks: what `shardworker stop-workers` sets, and each process's look for one that is meant for it."""

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

import structlog

from shards.directory import DirectoryUnavailable
from worker.pulse import waiting

EVERYBODY: Final = "*"
"""The name of the mark that all workers go by; other names are a host's and an instance's."""

DIRECTORY: Final = "stop-workers"
DIRECTORY_MODE: Final = 0o755
STOP_REASON: Final = "stop-workers"

log = structlog.get_logger()


class StopMarks(Protocol):
    """Where marks are kept: a number for each name, which changes whenever the mark is set."""

    def find_stop_marks(self, names: Sequence[str]) -> dict[str, int]:
        """The marks of these names; one that was never set is missing.

        Raises:
            DirectoryUnavailable, OSError: they cannot be read now.
        """
        ...

    def set_stop_mark(self, name: str) -> None:
        """Set the mark of this name; raises as `find_stop_marks`."""
        ...


class FileStopMarks:
    """Marks for the workers of one machine that share this state directory: the times of files."""

    def __init__(self, state_directory: Path) -> None:
        self._directory = state_directory / DIRECTORY

    def find_stop_marks(self, names: Sequence[str]) -> dict[str, int]:
        """When the file of each name was touched last, in nanoseconds since 1970."""
        found: dict[str, int] = {}
        for name in names:
            try:
                found[name] = (self._directory / name).stat().st_mtime_ns
            except FileNotFoundError:
                continue
        return found

    def set_stop_mark(self, name: str) -> None:
        """Touch the file of this name."""
        if not self._directory.exists():
            self._directory.mkdir(parents=True, exist_ok=True)
            # Whoever sets it may be root, of a umask that keeps everything from the workers' user.
            self._directory.chmod(DIRECTORY_MODE)
        (self._directory / name).touch()


class StopWatch:
    """Looks again and again whether a mark was set since the process began; `run` it on a thread of its own.

    The marks that the first look finds are of the time before. From then on any other number of a mark means
    that the process is to leave: no clock is asked, neither this machine's nor that of whoever set the mark.
    Marks that cannot be read are told once; the process goes on, and they are looked at again.
    """

    def __init__(
        self,
        marks: StopMarks,
        names: Sequence[str],
        interval: timedelta,
        stop: threading.Event,
        tell: Callable[[str], None],
    ) -> None:
        self._marks = marks
        self._names = names
        self._interval = interval
        self._stop = stop
        self._tell = tell
        self._before: dict[str, int] | None = None
        self._is_away = False

    def run(self) -> None:
        """Look until the process leaves; tells the reason once, when a mark was set."""
        while not self._stop.is_set():
            with waiting("looks for stop marks"):
                is_set = self.look()
            if is_set:
                self._tell(STOP_REASON)
                return
            self._stop.wait(self._interval.total_seconds())

    def look(self) -> bool:
        """Whether a mark was set since the first look that found out. Never raises."""
        try:
            found = self._marks.find_stop_marks(self._names)
        except (DirectoryUnavailable, OSError) as error:
            self._note_away(error)
            return False
        self._is_away = False
        if self._before is None:
            self._before = found
            log.debug("worker.sees_stop")
        return any(self._before.get(name) != mark for name, mark in found.items())

    def _note_away(self, error: Exception) -> None:
        if not self._is_away:
            log.warning("worker.stop_unknown", error=str(error))
        self._is_away = True


def names_of(instance: str) -> tuple[str, str, str]:
    """The names of the marks that a process goes by, which `instance` (`host:pid`) names."""
    return EVERYBODY, instance.rpartition(":")[0], instance
