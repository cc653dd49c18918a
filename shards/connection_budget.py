"""The budget of connections: how many a process holds to one server, over all the shards that it serves."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Condition
from typing import Final, Protocol

from shards import failure_codes
from shards.failures import KnownFailure, failure_of

CONNECTIONS_MAXIMUM: Final = 20


class AllInUse(KnownFailure):
    """Each connection that the shard may have is in use, and none came back in time."""

    def __init__(self) -> None:
        super().__init__(failure_of(failure_codes.AWAY, "all connections are in use"))


class ServerInUse(KnownFailure):
    """Other shards use all connections to the server: this one was not asked, and may be well."""

    def __init__(self) -> None:
        super().__init__(failure_of(failure_codes.BUSY, "all connections to its server are in use"))


class Closable(Protocol):
    """A connection, as far as the budget knows it."""

    def close(self) -> None:
        """Close the connection."""


@dataclass(eq=False, slots=True)
class Share:
    """One shard's part of the budget: at most `limit` connections; `open` counts those that are idle too."""

    limit: int
    open: int = 0
    idle: deque[Closable] = field(default_factory=deque)


class ServerConnections:
    """The connections of one process to one server; there are never more than `maximum`, idle ones included.

    Where a new one is wanted and the budget is used up, the one that has been idle longest is closed first,
    whichever shard's it is. Safe to use from several threads at once. `clock` gives seconds that only grow.
    """

    def __init__(
        self, maximum: int = CONNECTIONS_MAXIMUM, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.maximum = maximum
        self._clock = clock
        # reentrant: the garbage collector may give a forgotten connection back at any moment
        self._changed = Condition()
        self._open = 0
        self._idle: dict[Closable, tuple[Share, float]] = {}  # in the order in which they became idle

    def resize(self, maximum: int) -> None:
        """Let there be so many from now on; what is open beyond that is closed when it comes back."""
        with self._changed:
            self.maximum = maximum
            self._changed.notify_all()

    @property
    def open(self) -> int:
        """How many connections are open or about to be, idle ones included."""
        return self._open

    def take(self, share: Share, timeout_seconds: float) -> Closable | None:
        """An idle connection of the shard, or `None`: the caller may open one, and gives it back or up.

        Waits for at most `timeout_seconds` where neither is to be had.

        Raises:
            AllInUse: the shard has as many as it may, all in use.
            ServerInUse: the server has as many as it may, all in use.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._can_take(share), timeout_seconds):
                raise AllInUse if share.open >= share.limit else ServerInUse
            if share.idle:
                return self._take_idle(share)
            surplus = self._let_go_of_oldest() if self._open >= self.maximum else None
            self._count(share, 1)
        if surplus is not None:
            surplus.close()
        return None

    def give_back(self, share: Share, connection: Closable) -> None:
        """The connection is idle from now on, or closed where the limits are smaller than they were."""
        with self._changed:
            is_surplus = share.open > share.limit or self._open > self.maximum
            if not is_surplus:
                share.idle.append(connection)
                self._idle[connection] = (share, self._clock())
                self._changed.notify_all()
        if is_surplus:
            connection.close()
            self.give_up(share)

    def give_up(self, share: Share) -> None:
        """A connection that was taken is closed, or could not be opened: its place is free."""
        with self._changed:
            self._count(share, -1)
            self._changed.notify_all()

    def take_back(self, share: Share) -> None:
        """A connection that was given up will be given back or up once more."""
        with self._changed:
            self._count(share, 1)

    def close_idle(self, unused_seconds: float) -> None:
        """Close the connections that were not used for so long."""
        with self._changed:
            before = self._clock() - unused_seconds
            old = [connection for connection, (_, since) in list(self._idle.items()) if since <= before]
            removed = self._remove(old)
        self._close(removed)

    def close_idle_of(self, share: Share) -> None:
        """Close the shard's idle connections, however short they are idle."""
        with self._changed:
            removed = self._remove(list(share.idle))
        self._close(removed)

    def _can_take(self, share: Share) -> bool:
        if share.idle:
            return True
        return share.open < share.limit and (self._open < self.maximum or bool(self._idle))

    def _take_idle(self, share: Share) -> Closable:
        # the one used last: those that the shard does not need get old and are closed
        connection = share.idle.pop()
        del self._idle[connection]
        return connection

    def _let_go_of_oldest(self) -> Closable:
        ((connection, share),) = self._remove([next(iter(self._idle))])
        self._count(share, -1)
        return connection

    def _remove(self, connections: Iterable[Closable]) -> list[tuple[Closable, Share]]:
        removed = [(connection, self._idle.pop(connection)[0]) for connection in connections]
        for connection, share in removed:
            share.idle.remove(connection)
        return removed

    def _close(self, removed: Iterable[tuple[Closable, Share]]) -> None:
        for connection, share in removed:
            connection.close()
            self.give_up(share)

    def _count(self, share: Share, change: int) -> None:
        share.open += change
        self._open += change
