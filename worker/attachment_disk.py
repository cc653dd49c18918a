"""Where attachments lie on local disk: a locked directory per process, a room per job, a budget of bytes."""

import errno
import fcntl
import itertools
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

LOCK_FILE: Final = "lock"
SWEEP_LOCK_FILE: Final = ".sweep-lock"
PROCESS_PREFIX: Final = "process-"


DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def disk_code(error: OSError) -> str:
    """The code for a fault of the disk for attachments."""
    return "no_disk_space" if error.errno in DISK_FULL else "attachment_unavailable"


class DiskBudget:
    """A number of bytes that the jobs of one process share. Thread-safe."""

    def __init__(self, maximum_bytes: int) -> None:
        self.maximum_bytes = maximum_bytes
        self._taken = 0
        self._lock = threading.Lock()

    @property
    def taken_bytes(self) -> int:
        """How many bytes are reserved now."""
        with self._lock:
            return self._taken

    def reserve(self, size: int) -> bool:
        """Take `size` bytes of the budget; False, and nothing taken, where that many are not left."""
        with self._lock:
            if self._taken + size > self.maximum_bytes:
                return False
            self._taken += size
            return True

    def give_back(self, size: int) -> None:
        """Return what was reserved."""
        with self._lock:
            self._taken -= size


class Room:
    """A job's directory and its share of the budget, until it is closed."""

    def __init__(self, path: Path, size: int, budget: DiskBudget) -> None:
        self.path = path
        self._size = size
        self._budget = budget
        self._lock = threading.Lock()
        self._closed = False

    def grow(self, size: int) -> bool:
        """Take more of the budget; False, and nothing taken, where that many bytes are not left now."""
        with self._lock:
            if self._closed or not self._budget.reserve(size):
                return False
            self._size += size
            return True

    def can_ever_grow(self, size: int) -> bool:
        """Whether the budget has that many bytes beside the room's own when nobody else has any."""
        with self._lock:
            return self._size + size <= self._budget.maximum_bytes

    def shrink(self, size: int) -> None:
        """Return some of what `grow` took."""
        with self._lock:
            if self._closed:
                return  # it was returned with the rest
            self._size -= size
            self._budget.give_back(size)

    def close(self) -> None:
        """Remove the directory, then return the bytes. May be called again, and from any thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        # What cannot be removed is left to the sweep of a later start.
        shutil.rmtree(self.path, ignore_errors=True)
        self._budget.give_back(self._size)


class ProcessDirectory:
    """A directory of this process's own below `base`; those of dead processes are removed first.

    Each process holds a lock (flock) on a file in its directory for as long as it lives, however it dies:
    a directory whose lock can be had belongs to nobody. Raises `OSError` where `base` cannot be used.
    """

    def __init__(self, base: Path, budget: DiskBudget) -> None:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Nobody sweeps while somebody has made a directory and not locked it yet.
        with _locked(base / SWEEP_LOCK_FILE):
            self.swept = _sweep(base)
            self.path = Path(tempfile.mkdtemp(prefix=PROCESS_PREFIX, dir=base))
            self._lock_descriptor = _open_lock(self.path / LOCK_FILE)
            fcntl.flock(self._lock_descriptor, fcntl.LOCK_EX)
        self._budget = budget
        self._numbers = itertools.count(1)
        self._closed = False

    def open_room(self, label: str, size: int) -> Room | None:
        """A new, empty directory for `size` bytes; None where the budget has not that many left now.

        `label` is the end of its name, for people who look at the disk. Raises `OSError`.
        """
        if not self._budget.reserve(size):
            return None
        room = Room(self.path / f"{next(self._numbers)}-{label}", size, self._budget)
        try:
            room.path.mkdir(mode=0o700)
        except BaseException:
            room.close()
            raise
        return room

    def close(self) -> None:
        """Remove the directory and all that is in it."""
        if not self._closed:
            self._closed = True
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock_descriptor)


def _sweep(base: Path) -> int:
    return sum(_remove_if_dead(path) for path in sorted(base.glob(f"{PROCESS_PREFIX}*")))


def _remove_if_dead(path: Path) -> bool:
    try:
        descriptor = _open_lock(path / LOCK_FILE)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        shutil.rmtree(path, ignore_errors=True)
        return True
    finally:
        os.close(descriptor)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = _open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
