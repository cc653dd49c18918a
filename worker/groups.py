"""The groups of ordered queues: of each one message goes on at a time, the others wait behind it."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from worker.held import Held
from worker.transports.base import Transport

BEHIND: Final = "group_waits"
"""The code of what goes back because an earlier message of its group does, or waits for long."""

Line = deque[Held]
"""The deliveries of a group that are in hand: the head, which has gone on, and its followers in order."""

GroupKey = tuple[Transport, str]


class Groups:
    """Lets the deliveries of ordered queues go on, the head of each group only; thread-safe.

    The queue hands out no message of a group while another of it is in flight, so what is here is all that
    can run, and what comes later came behind it. Where a head goes back, or its lease is lost, all behind it
    goes back first: the queue then hands the group out from the head on.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[GroupKey, Line] = {}
        self._stopped = False

    def connect(self, go_on: Callable[[Held], None], give_back: Callable[[Held, str], None]) -> None:
        """Where those go whose turn it is, and those that cannot have theirs, with the code that says why.

        To be told before the first `put`.
        """
        self._go_on = go_on
        self._give_back = give_back

    @property
    def waiting(self) -> int:
        """How many deliveries wait behind a head."""
        with self._lock:
            return sum(len(line) - 1 for line in self._lines.values())

    def put(self, received: Sequence[Held]) -> None:
        """Take what one receive brought, whole: its heads go on, whose place is free.

        In parts it would not do: a head could go back before its follower came, which would then go on alone.
        """
        heads: list[Held] = []
        with self._lock:
            stopped = self._stopped
            for held in () if stopped else received:
                line = self._lines.setdefault(_key(held), deque())
                line.append(held)
                if len(line) == 1:
                    heads.append(held)
        self._return(received if stopped else (), "shutdown")
        for held in heads:
            self._go_on(held)

    def settled(self, held: Held) -> None:
        """The delivery is done with: the next one of its group goes on. What is no head changes nothing."""
        if held.lost.is_set():
            self.broken(held)  # the queue may hand it out again, and what is here must not run before it
            return
        with self._lock:
            line = self._lines.get(_key(held))
            if line is None or line[0] is not held:
                return
            line.popleft()
            follower = line[0] if line else None
            if follower is None:
                del self._lines[_key(held)]
        if follower is not None:
            self._take_turn(follower)

    def broken(self, held: Held) -> None:
        """The delivery goes back, or its lease is lost: what is behind it goes back, before this returns.

        A head has an end of its own; a follower whose lease is lost gets it here.
        """
        with self._lock:
            line = self._lines.get(_key(held), ())
            place = line.index(held) if held in line else len(line)
            behind = self._cut(_key(held), max(place, 1))
            if place == 0 and line:
                del self._lines[_key(held)]
        self._return(behind)

    def send_back_behind(self, heads: Iterable[Held]) -> None:
        """Give back what waits behind these, which themselves stay."""
        with self._lock:
            behind = [follower for held in heads for follower in self._cut(_key(held), 1)]
        self._return(behind)

    def stop(self) -> None:
        """Give back all that has not gone on, now and from now on."""
        with self._lock:
            self._stopped = True
            behind = [follower for key in self._lines for follower in self._cut(key, 1)]
        self._return(behind, "shutdown")

    def _take_turn(self, follower: Held) -> None:
        if follower.lost.is_set():
            self.broken(follower)
            self._give_back(follower, BEHIND)
        else:
            self._go_on(follower)

    def _cut(self, key: GroupKey, place: int) -> list[Held]:
        """Take what stands at this place of a line, and behind it, off its end."""
        line = self._lines.get(key, deque())
        return [line.pop() for _ in range(len(line) - place)][::-1]

    def _return(self, behind: Sequence[Held], code: str = BEHIND) -> None:
        """From the end: whoever receives in between gets nothing of a group of which a message is held."""
        for held in reversed(behind):
            self._give_back(held, code)


def _key(held: Held) -> GroupKey:
    # a FIFO queue's messages all have a group
    return held.source, held.delivery.group or ""
