"""The status file: how each worker of this machine stands, written for commands on the same machine."""

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from worker.instance_files import Claim, living_files

log = structlog.get_logger()


class LaneStatus(msgspec.Struct, frozen=True):
    """How one shard's lane stands: parts that wait and run, and whether the shard, or its server, is away.

    `openings`: how often the shard was found away since the process began.
    """

    waiting: int
    running: int
    away: bool
    openings: int = 0


class WorkerStatus(msgspec.Struct, frozen=True):
    """How one process stood at a moment; `in_hand` counts its deliveries, `settled` and `failed` those acked.

    `running_since` is when that of its handler calls began that runs longest; None while none runs.
    `oldest_since` is when the delivery was received that it has held longest; None while it holds none.
    Lists name what is not as it should be: queues that cannot be asked, stages of settling that nothing gets
    through, servers that are away, threads that hang.
    """

    pid: int
    instance: str
    at: datetime
    in_hand: int
    lanes: dict[str, LaneStatus]
    running_since: datetime | None = None
    oldest_since: datetime | None = None
    in_hand_max: int = 0
    settled: int = 0
    failed: int = 0
    queues_away: list[str] = []
    not_accepted: list[str] = []
    servers_away: list[str] = []
    hanging: list[str] = []
    given_up: int = 0
    leaving: bool = False


class StatusFile:
    """The file of this process, in `workers` of the state directory; claimed at the first `write`.

    A file that cannot be written is logged, once: the worker does without.
    """

    def __init__(self, state_directory: Path) -> None:
        self._state_directory = state_directory
        self._claim: Claim | None = None
        self._failed = False

    @property
    def socket(self) -> Path | None:
        """Where the process may listen, to be asked by commands on the same machine; None without a file."""
        return None if self._claim is None else self._claim.files.socket

    def write(self, status: WorkerStatus) -> None:
        """Replace the file, as a whole, with how the process stands at this moment."""
        try:
            if self._claim is None:
                self._claim = Claim(self._state_directory)
            files = self._claim.files
            files.new_status.write_bytes(msgspec.json.encode(status))
            files.new_status.replace(files.status)
        except OSError as error:
            self._note_failure(error)

    def remove(self) -> None:
        """Remove the file, and the socket: the process leaves."""
        claim, self._claim = self._claim, None
        try:
            if claim is not None:
                claim.release()
        except OSError as error:
            self._note_failure(error)

    def _note_failure(self, error: OSError) -> None:
        if not self._failed:
            log.warning("worker.status_failed", file=error.filename, error=error.strerror)
        self._failed = True


class Written(NamedTuple):
    """What a worker that lives wrote of itself last, and where it may be asked."""

    status: WorkerStatus
    socket: Path


def read_workers(state_directory: Path) -> list[Written]:
    """The workers that share this directory and live; files of dead ones are removed.

    A file that cannot be read, of a worker that is leaving say, is left out.
    """
    found: list[Written] = []
    for files in living_files(state_directory):
        try:
            status = msgspec.json.decode(files.status.read_bytes(), type=WorkerStatus)
        except (OSError, msgspec.DecodeError):
            continue
        found.append(Written(status, files.socket))
    return found


def read_statuses(state_directory: Path) -> list[WorkerStatus]:
    """How the workers that share this directory stand; see `read_workers`."""
    return [one.status for one in read_workers(state_directory)]
