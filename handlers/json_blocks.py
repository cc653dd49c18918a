"""JSON Lines cut into blocks of whole lines, in bounded memory, each line known by its number."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from handlers.row_bytes import Source, Unreadable

BLOCK_BYTES: Final = 2**20


class JsonBlock:
    """Some whole lines, the first of which has this number; put together of parts that end there."""

    error: Unreadable | None = None

    def __init__(self, number: int, data: bytes, newlines: int, ends: Sequence[int] = ()) -> None:
        self.number = number
        self.data = data
        self.newlines = newlines
        self._ends = ends

    @property
    def first_line(self) -> bytes:
        """Without its newline."""
        end = self.data.find(b"\n")
        return self.data if end < 0 else self.data[:end]

    @property
    def line_count(self) -> int:
        """How many lines it has, the last of which may have no newline."""
        return self.newlines + (not self.data.endswith(b"\n"))

    def parts(self) -> Iterator["JsonBlock"]:
        """The blocks that are as long as a line may be: in these rows are judged, one after the other."""
        begin, number = 0, self.number
        for end in self._ends or [len(self.data)]:
            part = _block(number, self.data[begin:end])
            yield part
            begin, number = end, number + part.newlines

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """The lines that are not empty, with their numbers."""
        for number, line in enumerate(self.data.split(b"\n"), start=self.number):
            if stripped := line.strip():
                yield number, stripped


class JsonBlocks:
    """The blocks of a JSON Lines file; no line may be longer than `line_bytes_maximum`."""

    def __init__(self, stream: Source, line_bytes_maximum: int = BLOCK_BYTES) -> None:
        self._stream = stream
        self._maximum = line_bytes_maximum
        self._number = 1
        self.line_lengths = 1
        """How many times as long as a line a block may be."""

    def __iter__(self) -> Iterator[JsonBlock]:
        """The blocks.

        Raises:
            Unreadable: `empty_file`, `record_too_long`, or what the stream raises, with the line's number;
                what was read before comes first.
        """
        parts: list[JsonBlock] = []
        try:
            for part in self._parts():
                parts.append(part)
                if len(parts) == self.line_lengths:
                    block, parts = _joined(parts), []
                    yield block
        except Unreadable:
            if parts:
                yield _joined(parts)
            raise
        if parts:
            yield _joined(parts)

    def _parts(self) -> Iterator[JsonBlock]:
        held = self._read(b"")
        if not held:
            raise Unreadable("empty_file", "no rows")
        while held:
            end = self._end_of_lines(held)
            block = _block(self._number, held[:end])
            yield block
            self._number += block.newlines
            held = self._read(held[end:])

    def _end_of_lines(self, held: bytes) -> int:
        end = held.rfind(b"\n", 0, self._maximum) + 1
        if len(held) <= self._maximum:
            return len(held)
        if not end:
            raise Unreadable("record_too_long", f"longer than {self._maximum} bytes", self._number)
        return end

    def _read(self, held: bytes) -> bytes:
        try:
            while len(held) <= self._maximum and (data := self._stream.read(self._maximum + 1 - len(held))):
                held += data
        except Unreadable as error:
            error.row = self._number
            raise
        return held


def _block(number: int, data: bytes) -> JsonBlock:
    return JsonBlock(number, data, data.count(b"\n"))


def _joined(parts: Sequence[JsonBlock]) -> JsonBlock:
    if len(parts) == 1:
        return parts[0]
    ends = list(accumulate(len(part.data) for part in parts))
    newlines = sum(part.newlines for part in parts)
    return JsonBlock(parts[0].number, b"".join(part.data for part in parts), newlines, ends)
