"""Shares of the room: how many places each request queue may take, so that more urgent ones have theirs."""

from typing import Final

from worker.transports.limits import BATCH_COUNT_MAXIMUM

POLL_PLACES: Final = BATCH_COUNT_MAXIMUM


class Shares:
    """Counts the places that each of some queues has, by its priority: 0 is the most urgent.

    Of the places that are there for a queue and all behind it, some are its own, whether it uses them or
    not: those of one poll, and half while its polls bring something; never more than half. One poll
    reserves no more than half either, for it may bring nothing for long: the last queue's may. As far as
    places go round, each queue has one.

    Places are few when there are fewer than queues. Then they take turns: the more urgent first, but one
    whose poll brought nothing lets a less urgent one go before it, once; of several such, the one that was
    asked last comes last. Not thread-safe.
    """

    def __init__(self, queues: int) -> None:
        self._taken = [0] * queues
        self._brings = [False] * queues
        self._polls = 0
        self._in_vain_since = [0] * queues
        self._was_asked = [False] * queues

    def are_few(self, total: int) -> bool:
        """Whether so many places are fewer than the queues."""
        return total < len(self._taken)

    def are_scarce(self, total: int) -> bool:
        """Whether so many places are fewer than a poll of each queue may take, where there are several."""
        return len(self._taken) > 1 and total < len(self._taken) * POLL_PLACES

    def order(self, priority: int) -> tuple[int, int]:
        """What queues that wait for places are served by: the least first."""
        return self._in_vain_since[priority], priority

    def free(self, priority: int, total: int) -> int:
        """How many of so many places in all the next poll of the queue may reserve."""
        if self.are_few(total) and not all(self._was_asked[:priority]):
            return 0
        there, taken = total, sum(self._taken)
        free = there - taken
        for urgent in range(priority):
            there -= self._own(urgent, there)
            taken -= self._taken[urgent]
            free = min(free, there - taken)
        is_last = priority == len(self._taken) - 1
        return free if is_last else min(free, max(1, self._half(priority, there)))

    def reserve(self, priority: int, places: int) -> None:
        """A poll of the queue begins, for so many messages."""
        self._taken[priority] += places
        self._was_asked[priority] = True
        self._in_vain_since[:priority] = [0] * priority

    def fill(self, priority: int, reserved: int, received: int) -> None:
        """A poll ended: of the reserved places so many are in use, the others are free."""
        self._taken[priority] -= reserved - received
        self._brings[priority] = received > 0
        self._polls += 1
        self._in_vain_since[priority] = 0 if received else self._polls

    def leave(self, priority: int) -> None:
        """A place of the queue is free again."""
        self._taken[priority] -= 1

    def _own(self, priority: int, there: int) -> int:
        half = self._half(priority, there)
        return half if self._brings[priority] else min(POLL_PLACES, half)

    def _half(self, priority: int, there: int) -> int:
        """Half of the places; where there is one for each queue behind, these are left."""
        behind = len(self._taken) - 1 - priority
        return min(there // 2, there - behind) if there > behind else there // 2
