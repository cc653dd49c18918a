"""Inserting those of many rows that the database takes, the fastest way, and leaving the others out."""

from collections.abc import Callable
from typing import NamedTuple

from shards.failures import Failure
from shards.row_columns import RowLoader
from shards.row_sending import Row, RowSender

NoteRefused = Callable[[int, Failure], None]
"""Is told the number of a row that the database refuses, and why."""


class Chunk(NamedTuple):
    """Rows that are sent at once, and the number of each."""

    rows: list[Row]
    numbers: list[int]

    def halves(self) -> tuple["Chunk", "Chunk"]:
        """The first half and the second one."""
        middle = len(self.rows) // 2
        return (
            Chunk(self.rows[:middle], self.numbers[:middle]),
            Chunk(self.rows[middle:], self.numbers[middle:]),
        )


class GoodRows:
    """Inserts the good rows of chunks; `note_refused` is told of each of the others, in the rows' order.

    A chunk that is refused is halved, and so on: few bad rows among many cost few statements.
    """

    def __init__(self, loader: RowLoader, sender: RowSender, note_refused: NoteRefused) -> None:
        self._loader = loader
        self._sender = sender
        self._note_refused = note_refused

    def insert(self, chunk: Chunk) -> int:
        """Insert what can be; how many rows. Raises as `RowLoader.load` and `RowSender.send`."""
        if self._loader.load(chunk.rows):
            return len(chunk.rows)
        if len(chunk.rows) == 1 or not self._loader.was_refused:
            failure = self._sender.send(chunk.rows)
            if failure is None:
                return len(chunk.rows)
            if len(chunk.rows) == 1:
                self._note_refused(chunk.numbers[0], failure)
                return 0
        return sum(map(self.insert, chunk.halves()))
