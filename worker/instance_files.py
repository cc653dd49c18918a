"""The files of each worker in `workers` of the state directory: whose they are, and which were left behind.

A worker holds a lock on one of them as long as it lives. Unlike its number, which another process can have
by now, or have in another container or on another host that shares the directory, the lock ends with it.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

DIRECTORY: Final = "workers"
LOCK_MODE: Final = 0o644
"""Who may see whether a worker lives."""


@dataclass(frozen=True, slots=True)
class InstanceFiles:
    """The files of one worker. `stem` is their path without what tells them apart."""

    stem: Path

    @property
    def status(self) -> Path:
        """How it stands, as it wrote last."""
        return self.stem.with_suffix(".json")

    @property
    def new_status(self) -> Path:
        """How it stands, while it is written."""
        return self.stem.with_suffix(".new")

    @property
    def socket(self) -> Path:
        """Where it listens, to be asked by commands on the same machine."""
        return self.stem.with_suffix(".sock")

    @property
    def lock(self) -> Path:
        """What it holds a lock on."""
        return self.stem.with_suffix(".lock")

    def remove(self) -> None:
        """Remove all; by whoever holds the lock."""
        for path in (self.status, self.new_status, self.socket, self.lock):
            path.unlink(missing_ok=True)


class Claim:
    """This process's own files: nobody else uses or removes them until `release`.

    They are called by its number, and told apart where another living worker's are called so. What dead
    ones left is removed. Raises `OSError` where the directory cannot be written to.
    """

    def __init__(self, state_directory: Path) -> None:
        directory = state_directory / DIRECTORY
        directory.mkdir(parents=True, exist_ok=True)
        for _ in living_files(state_directory):
            continue
        for number in count():
            files = InstanceFiles(directory / (f"{os.getpid()}-{number}" if number else f"{os.getpid()}"))
            descriptor = _take(files.lock)
            if descriptor is not None:
                self.files, self._descriptor = files, descriptor
                return

    def release(self) -> None:
        """Remove them: the process leaves. Raises `OSError`."""
        try:
            self.files.remove()
        finally:
            os.close(self._descriptor)


def living_files(state_directory: Path) -> Iterator[InstanceFiles]:
    """The files of the workers that live, by name; those of dead ones are removed, where that is allowed."""
    directory = state_directory / DIRECTORY
    for stem in sorted({path.with_suffix("") for path in directory.glob("*.*")}):
        files = InstanceFiles(stem)
        if _is_taken(files.lock):
            yield files
        else:
            _remove_left(files)


def _is_taken(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:  # it is another user's, say, of whom nothing can be told
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # somebody holds it, or this file system has no locks and nothing can be told
        return True
    finally:
        os.close(descriptor)
    return False


def _remove_left(files: InstanceFiles) -> None:
    with suppress(OSError):  # whoever may write here will remove them
        descriptor = _take(files.lock)
        if descriptor is not None:
            try:
                files.remove()
            finally:
                os.close(descriptor)


def _take(lock: Path) -> int | None:
    """The descriptor that holds the lock; None where another does."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, LOCK_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, lock):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        # It was removed in between, by its last owner or by who found that one dead.
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
