"""The budget of connections as a state machine, and with threads: never more than it allows."""

import threading
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shards.connection_budget import AllInUse, ServerConnections, ServerInUse, Share
from shards.failures import Kind

MAXIMUM = 4
LIMITS = (1, 2, 3, 6)
SHARES = st.integers(0, len(LIMITS) - 1)
IDLE_SECONDS = 60.0


class Connection:
    """A connection that knows whether it is open, and since when it is idle."""

    def __init__(self, share: int) -> None:
        self.share = share
        self.is_open = True
        self.idle_since: float | None = None

    def close(self) -> None:
        """Close it, once."""
        assert self.is_open, "closed twice"
        self.is_open = False


class Budget(RuleBasedStateMachine):
    """Four shards on one server, whose limits are together more than the server's budget."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.server = ServerConnections(MAXIMUM, lambda: self.now)
        self.shares = [Share(limit) for limit in LIMITS]
        self.in_use: list[Connection] = []
        self.idle: list[Connection] = []

    @rule(share=SHARES, opens=st.booleans())
    def take(self, *, share: int, opens: bool) -> None:
        """An idle one of its own, the last used; else a new one in place of the longest idle of all."""
        own = [connection for connection in self.idle if connection.share == share]
        used = len(own) + sum(connection.share == share for connection in self.in_use)
        if not own and used >= LIMITS[share]:
            with pytest.raises(AllInUse):
                self.server.take(self.shares[share], 0)
        elif not own and len(self.in_use) >= MAXIMUM:
            with pytest.raises(ServerInUse):
                self.server.take(self.shares[share], 0)
        elif own:
            assert self.server.take(self.shares[share], 0) is own[-1]
            self.idle.remove(own[-1])
            self.in_use.append(own[-1])
        else:
            self.take_a_place(share, opens=opens)

    def take_a_place(self, share: int, *, opens: bool) -> None:
        """A new connection, or one that could not be opened; the longest idle one makes room."""
        makes_room = len(self.in_use) + len(self.idle) >= MAXIMUM
        assert self.server.take(self.shares[share], 0) is None
        if makes_room:
            assert not self.idle.pop(0).is_open
        if opens:
            self.in_use.append(Connection(share))
        else:
            self.server.give_up(self.shares[share])

    @precondition(lambda self: self.in_use)
    @rule(choice=st.randoms(use_true_random=False), lost=st.booleans())
    def bring_back(self, *, choice: Random, lost: bool) -> None:
        """It is idle from then on; the place of a lost one is free."""
        connection = self.in_use.pop(choice.randrange(len(self.in_use)))
        if lost:
            connection.close()
            self.server.give_up(self.shares[connection.share])
        else:
            connection.idle_since = self.now
            self.server.give_back(self.shares[connection.share], connection)
            self.idle.append(connection)

    @rule(seconds=st.floats(0, IDLE_SECONDS))
    def time_passes(self, seconds: float) -> None:
        """What is idle gets old."""
        self.now += seconds

    @rule()
    def close_idle(self) -> None:
        """Those are closed that were idle for long enough, and no others."""
        self.server.close_idle(IDLE_SECONDS)
        old = [connection for connection in self.idle if not connection.is_open]
        self.idle = [connection for connection in self.idle if connection.is_open]

        limit = self.now - IDLE_SECONDS
        assert all(connection.idle_since is not None for connection in old + self.idle)
        assert all((connection.idle_since or 0) <= limit for connection in old)
        assert all((connection.idle_since or 0) > limit for connection in self.idle)

    @rule(share=SHARES)
    def close_idle_of_one(self, share: int) -> None:
        """A shard that is closed lets go of what is idle; the others keep theirs."""
        self.server.close_idle_of(self.shares[share])
        assert all(not connection.is_open for connection in self.idle if connection.share == share)
        self.idle = [connection for connection in self.idle if connection.share != share]

    @invariant()
    def as_many_are_counted_as_are_open(self) -> None:
        """And none that is in use, or idle without cause, was closed."""
        present = self.in_use + self.idle
        assert all(connection.is_open for connection in present)
        assert self.server.open == len(present) <= MAXIMUM
        for number, share in enumerate(self.shares):
            assert share.open == sum(connection.share == number for connection in present) <= share.limit
            assert list(share.idle) == [connection for connection in self.idle if connection.share == number]


TestBudget = Budget.TestCase


def test_what_cannot_be_had_is_told_apart() -> None:
    """A shard whose own connections are stuck is away; one that only waits for others' is busy."""
    server = ServerConnections(2)
    one, two = Share(1), Share(2)
    server.take(one, 0)
    with pytest.raises(AllInUse) as stuck:
        server.take(one, 0)
    server.take(two, 0)
    with pytest.raises(ServerInUse) as crowded:
        server.take(two, 0)

    assert (stuck.value.failure.kind, crowded.value.failure.kind) == (Kind.AWAY, Kind.BUSY)


@pytest.mark.parametrize("lost", [False, True])
def test_a_thread_that_waits_gets_what_another_gives_back(*, lost: bool) -> None:
    """Idle, it is closed in favour of the waiting shard; lost, its place is taken."""
    server = ServerConnections(1)
    one, two = Share(1), Share(1)
    server.take(one, 0)
    used = Connection(0)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(server.take, two, 30)
        if lost:
            used.close()
            server.give_up(one)
        else:
            server.give_back(one, used)

        assert waiting.result() is None
    assert (used.is_open, server.open, one.open, two.open) == (False, 1, 0, 1)


def test_threads_never_hold_more_than_the_budget() -> None:
    """Eight of them over ten shards of one server, with what they hold counted from outside."""
    server = ServerConnections(3)
    shares = [Share(2) for _ in range(10)]
    lock = threading.Lock()
    opened: list[Connection] = []
    most = 0

    def use(turn: int) -> None:
        nonlocal most
        share = shares[turn % len(shares)]
        connection = server.take(share, 30)
        with lock:
            if connection is None:
                opened.append(connection := Connection(turn % len(shares)))
            most = max(most, sum(one.is_open for one in opened))
        server.give_back(share, connection)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, range(2000)))
    assert (most <= 3, server.open <= 3) == (True, True)
    assert sum(one.is_open for one in opened) == server.open
