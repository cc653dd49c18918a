"""The status file: how each worker of this machine stands, written for commands on the same machine."""

import os
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import structlog

DIRECTORY: Final = "workers"

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
    """The file of this process, in `workers` of the state directory.

    A file that cannot be written is logged, once: the worker does without.
    """

    def __init__(self, state_directory: Path) -> None:
        self._path = state_directory / DIRECTORY / f"{os.getpid()}.json"
        self._failed = False

    def write(self, status: WorkerStatus) -> None:
        """Replace the file, as a whole, with how the process stands at this moment."""
        fresh = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(msgspec.json.encode(status))
            fresh.replace(self._path)
        except OSError as error:
            self._note_failure(error)

    def remove(self) -> None:
        """Remove the file: the process leaves."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            self._note_failure(error)

    def _note_failure(self, error: OSError) -> None:
        if not self._failed:
            log.warning("worker.status_failed", file=str(self._path), error=error.strerror)
        self._failed = True


def socket_path(state_directory: Path, pid: int) -> Path:
    """Where the process of this number listens, to be asked by commands on the same machine."""
    return state_directory / DIRECTORY / f"{pid}.sock"


def read_statuses(state_directory: Path) -> list[WorkerStatus]:
    """How the workers of this machine stand that share this directory; files of dead ones are removed.

    A file that cannot be read, of a worker that is leaving say, is left out.
    """
    found: list[WorkerStatus] = []
    for path in sorted((state_directory / DIRECTORY).glob("*.json")):
        try:
            status = msgspec.json.decode(path.read_bytes(), type=WorkerStatus)
            if _is_alive(status.pid):
                found.append(status)
            else:
                path.unlink(missing_ok=True)
                socket_path(state_directory, status.pid).unlink(missing_ok=True)
        except (OSError, msgspec.DecodeError):
            continue
    return found


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True
