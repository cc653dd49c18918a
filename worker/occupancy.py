"""Places that are taken by priority: of all that there are, some are kept for each more urgent queue."""


class Occupancy:
    """How many places are taken, by the priority of who is there; 0 is the most urgent.

    Whoever comes leaves one place for each more urgent queue, but none leaves more than half of all places:
    of eight, the second queue's work takes seven at most, of two one, and of one that one. Not thread-safe.
    """

    def __init__(self) -> None:
        self._taken: list[int] = [0]

    @property
    def taken(self) -> int:
        """How many places are taken."""
        return sum(self._taken)

    def lets_in(self, priority: int, places: int) -> bool:
        """Whether one more of this priority leaves what is kept of so many places for more urgent ones.

        Whether any place is free at all is not asked here: the most urgent are always let in.
        """
        if not priority:
            return True
        taken = 0
        for level in range(len(self._taken) - 1, 0, -1):
            taken += self._taken[level]
            if level <= priority and taken >= places - min(level, places // 2):
                return False
        return True

    def enter(self, priority: int) -> None:
        """One of this priority takes a place."""
        if priority >= len(self._taken):
            self._taken.extend([0] * (priority + 1 - len(self._taken)))
        self._taken[priority] += 1

    def leave(self, priority: int) -> None:
        """One of this priority is gone."""
        self._taken[priority] -= 1
