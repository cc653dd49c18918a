"""Writes the log's lines on a thread of its own, so that no other thread ever waits for standard output."""

import os
import queue
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol, TextIO

BYTES_WAITING_MAXIMUM: Final = 8 * 2**20
BYTES_AT_ONCE: Final = 64 * 1024
LAST_LINES_SECONDS: Final = 2.0

OnDropped = Callable[[int], str]


class Lines(Protocol):
    """Where whole lines go; `put` never raises."""

    def put(self, line: str) -> None:
        """Take a line, without its end."""
        ...


class LinesAtOnce:
    """Writes each line before `put` returns: for commands, and for streams that are no files."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.RLock()

    def put(self, line: str) -> None:
        """Write the line; one that a full disk or a closed stream does not take is lost."""
        with self._lock:
            try:
                self._stream.write(f"{line}\n")
                self._stream.flush()
            except BrokenPipeError:
                _abandon(self._stream.fileno())
            except (OSError, ValueError):
                # The worker's work goes on without the line.
                return


class LinesBehind:
    """Keeps lines, up to 8 MiB, until the thread that `run`s has written them; what comes beyond is dropped.

    A journal or a pipe that takes nothing for a while so delays no lease, no job and no stop. The lines go to
    the file itself: a stream's buffer has a lock, on which the interpreter would wait when it leaves.
    `on_dropped` makes the line that tells how many were dropped.
    """

    def __init__(self, descriptor: int, on_dropped: OnDropped) -> None:
        self._descriptor = descriptor
        self._on_dropped = on_dropped
        # Both may be entered again by a finalizer that logs while its thread is inside.
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._lock = threading.RLock()
        self._bytes_waiting = 0
        self._dropped = 0

    def put(self, line: str) -> None:
        """Take the line; never waits."""
        encoded = _encoded(line)
        with self._lock:
            if self._bytes_waiting + len(encoded) > BYTES_WAITING_MAXIMUM:
                self._dropped += 1
                return
            self._bytes_waiting += len(encoded)
        self._lines.put(encoded)

    def close(self) -> None:
        """Let `run` return when it has written what was put before."""
        self._lines.put(None)

    def run(self) -> None:
        """Write what comes, until closed. Lines that came together are written together."""
        is_open = True
        while is_open:
            chunks, is_open = self._next()
            self._write(b"".join(chunks))
            dropped = self._settle(sum(map(len, chunks)))
            if dropped:
                self._write(_encoded(self._on_dropped(dropped)))

    def _next(self) -> tuple[list[bytes], bool]:
        """The next lines, at least one unless closed; and whether more may come."""
        chunks: list[bytes] = []
        size = 0
        line = self._lines.get()
        while line is not None:
            chunks.append(line)
            size += len(line)
            if size >= BYTES_AT_ONCE or self._lines.empty():
                return chunks, True
            line = self._lines.get()
        return chunks, False

    def _settle(self, written: int) -> int:
        """Count what was written as gone; how many lines were dropped since the last time."""
        with self._lock:
            self._bytes_waiting -= written
            dropped, self._dropped = self._dropped, 0
        return dropped

    def _write(self, chunk: bytes) -> None:
        try:
            while chunk:
                # Others may have set the file, which they share with us, to not wait by itself.
                select.select([], [self._descriptor], [])
                chunk = chunk[os.write(self._descriptor, chunk) :]
        except BrokenPipeError:
            _abandon(self._descriptor)
        except OSError:
            # A full disk or a closed file: these lines are lost, the worker's work is not.
            return


@contextmanager
def written_behind(stream: TextIO, on_dropped: OnDropped) -> Iterator[Lines]:
    """Lines that a thread writes to the stream's file while inside; it has two seconds for the last ones.

    A stream that is no file gets its lines at once.
    """
    try:
        descriptor = stream.fileno()
    except OSError:
        yield LinesAtOnce(stream)
        return
    stream.flush()
    lines = LinesBehind(descriptor, on_dropped)
    # A daemon thread: one that is stuck in a write must not keep the process from leaving.
    thread = threading.Thread(target=lines.run, name="log", daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        lines.close()
        thread.join(LAST_LINES_SECONDS)


def _encoded(line: str) -> bytes:
    return f"{line}\n".encode(errors="backslashreplace")


def _abandon(descriptor: int) -> None:
    # What is still in a stream's buffer would fail again when the interpreter leaves: exit status 120.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
