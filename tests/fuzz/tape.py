"""The tape: bytes that decide what is made, so that whoever makes bytes makes cases, and makes them small."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

TAPE_BYTES: Final = 256

Choice = TypeVar("Choice")
LETTERS: Final = 'aZ_09.-/\\" \t\n\r\0\x7f\x85éß٣\u2028\u202e\ufeff\ud800\U0001f4a5'


class Tape:
    """Decisions in a row; behind its end each is the first choice, the plainest, as it is for a zero."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, below: int) -> int:
        """A number from 0 on; of two bytes where one is too few."""
        size = 1 if below <= 2**8 else 2
        taken = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(taken, "big") % below

    def pick(self, choices: Sequence[Choice]) -> Choice:
        """One of these."""
        return choices[self.number(len(choices))]

    def once_in(self, times: int) -> bool:
        """Seldom true, and never behind the end."""
        return self.number(times) == 1

    def text(self, maximum: int = 12) -> str:
        """Some letters that are seldom seen together."""
        return "".join(self.pick(LETTERS) for _ in range(self.number(maximum + 1)))

    def json(self, depth: int = 3) -> Any:
        """Any value that JSON has."""
        if depth and self.once_in(4):
            return [self.json(depth - 1) for _ in range(self.number(4))]
        if depth and self.once_in(4):
            return {self.text(6): self.json(depth - 1) for _ in range(self.number(4))}
        number = self.number(2**16)
        return self.pick([number, self.text(), None, True, False, -number, number / 256, 2 ** (number % 90)])
