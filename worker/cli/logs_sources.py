"""Where `shardworker logs` reads from: standard input or files, also ones that grow and are rotated."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from io import FileIO
from pathlib import Path
from typing import Final

from worker.cli.errors import CommandError

CHUNK_BYTES: Final = 256 * 1024
LINE_BYTES_MAXIMUM: Final = 1024 * 1024
TAIL_BYTES: Final = 64 * 1024
TAIL_LINES: Final = 10
PAUSE_SECONDS: Final = 0.25

Batch = list[bytes]
Pause = Callable[[float], None]


class Splitter:
    """Cuts what comes in chunks into lines; one above 1 MiB comes in pieces, so that memory is bounded."""

    def __init__(self) -> None:
        self._rest = b""

    def lines(self, chunk: bytes) -> Batch:
        """The lines that end in this chunk."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > LINE_BYTES_MAXIMUM:
            return [*whole, *self.end()]
        return whole

    def end(self) -> Batch:
        """What came after the last line's end."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


def standard_input(descriptor: int) -> Iterator[Batch]:
    """The lines of standard input as they come, until it ends."""
    splitter = Splitter()
    while chunk := os.read(descriptor, CHUNK_BYTES):
        yield splitter.lines(chunk)
    yield splitter.end()


def whole_files(paths: Sequence[Path]) -> Iterator[Batch]:
    """The lines of the files, one file after the other."""
    for path in paths:
        with _open(path) as file:
            splitter = Splitter()
            while chunk := file.read(CHUNK_BYTES):
                yield splitter.lines(chunk)
            yield splitter.end()


def followed_files(paths: Sequence[Path], pause: Pause, *, from_start: bool) -> Generator[Batch]:
    """The lines of the files, and what is written to them from then on, without end.

    Begins with each file's last ten lines, or `from_start`. `pause` waits the given seconds.
    """
    files = [FollowedFile(path, from_start=from_start) for path in paths]
    try:
        while True:
            batches = [batch for file in files if (batch := file.new_lines())]
            yield from batches
            if not batches:
                yield []
                pause(PAUSE_SECONDS)
    finally:
        for file in files:
            file.close()


class FollowedFile:
    """A file that grows. One that was cut is read from its start; one that was replaced to its end first."""

    def __init__(self, path: Path, *, from_start: bool) -> None:
        self._path = path
        self._splitter = Splitter()
        self._file = _open(path)
        self._first = [] if from_start else self._last_lines()

    def new_lines(self) -> Batch:
        """What came since the last look; empty when nothing did."""
        first, self._first = self._first, []
        chunk = self._file.read(CHUNK_BYTES)
        if chunk:
            return first + self._splitter.lines(chunk)
        return first + self._next_file()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _last_lines(self) -> Batch:
        size = os.fstat(self._file.fileno()).st_size
        begin = max(0, size - TAIL_BYTES)
        self._file.seek(begin)
        lines = self._splitter.lines(self._file.read(TAIL_BYTES))
        return lines[1 if begin else 0 :][-TAIL_LINES:]

    def _next_file(self) -> Batch:
        """Go on at the start of a file that was cut or replaced; the rest of a line that had no end."""
        here = os.fstat(self._file.fileno())
        try:
            there = self._path.stat()
            if (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
                self._file, before = _open(self._path), self._file
                before.close()
                return self._splitter.end()
        except (OSError, CommandError):
            # Between two steps of a rotation there is no file: the next look finds it.
            return []
        if here.st_size < self._file.tell():
            self._file.seek(0)
            return self._splitter.end()
        return []


def _open(path: Path) -> FileIO:
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
