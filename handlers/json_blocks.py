"""JSON Lines cut into blocks of whole lines, in bounded memory, each line known by its number."""

from collections.abc import Iterator
from typing import Final, NoReturn

from handlers.row_bytes import Source, Unreadable

BLOCK_BYTES: Final = 2**20


class JsonBlock:
    """Some whole lines, the first of which has this number."""

    error: Unreadable | None = None

    def __init__(self, number: int, data: bytes) -> None:
        self.number = number
        self.data = data

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
            Unreadable: `empty_file`, `record_too_long`, or what the stream raises, with the line's number.
        """
        held = self._read(b"")
        if not held:
            raise Unreadable("empty_file", "no rows")
        while held:
            end = self._end_of_lines(held)
            block = JsonBlock(self._number, held[:end])
            yield block
            self._number += block.data.count(b"\n")
            held = self._read(held[end:])

    def _end_of_lines(self, held: bytes) -> int:
        # piece by piece, none longer than a line may be: so no line in the block is
        end = 0
        for _ in range(self.line_lengths):
            if len(held) - end <= self._maximum:
                return len(held)
            begin, end = end, held.rfind(b"\n", end, end + self._maximum) + 1
            if not end:
                return begin or self._too_long()
        return end

    def _too_long(self) -> NoReturn:
        raise Unreadable("record_too_long", f"longer than {self._maximum} bytes", self._number)

    def _read(self, held: bytes) -> bytes:
        try:
            # one byte more than a block may have tells whether this is the end of the file
            enough = self._maximum * self.line_lengths + 1
            while len(held) < enough and (data := self._stream.read(enough - len(held))):
                held += data
        except Unreadable as error:
            error.row = self._number
            raise
        return held
