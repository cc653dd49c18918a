"""The room: never more in hand than there is room for, whatever order things come in."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from worker.held import Room

AT_ONCE = 0.0
A_MOMENT = 0.001
FOR_EVER = 60.0


def nothing() -> None:
    """Nobody is told."""


def room_of(capacity: int, limit: int | None = None, on_empty: Callable[[], None] = nothing) -> Room:
    return Room(capacity, limit, nothing, on_empty)


def test_a_poll_under_way_keeps_its_places() -> None:
    """Two receivers together never bring more than there is room for."""
    room = room_of(12)

    assert [room.reserve(10, AT_ONCE), room.reserve(10, AT_ONCE)] == [10, 2]


def test_what_a_poll_did_not_bring_is_free_again() -> None:
    """Of ten reserved places, three are taken and seven free."""
    room = room_of(10)
    room.fill(room.reserve(10, AT_ONCE), 3)

    assert (room.taken, room.reserve(10, AT_ONCE)) == (3, 7)


def test_a_full_room_waits_for_a_place() -> None:
    """A receiver asks the queue for nothing that it could not hold."""
    room = room_of(1)
    room.fill(room.reserve(1, AT_ONCE), 1)
    with ThreadPoolExecutor(1) as threads:
        reserved = threads.submit(room.reserve, 10, AT_ONCE)
        room.leave(settled=True)

        assert reserved.result(10) == 1


def test_closing_wakes_whoever_waits_for_a_place() -> None:
    """With no places: nothing more is to be received."""
    room = room_of(1)
    room.fill(room.reserve(1, AT_ONCE), 1)
    with ThreadPoolExecutor(1) as threads:
        reserved = threads.submit(room.reserve, 10, FOR_EVER)
        room.close()

        assert reserved.result(10) == 0


def test_a_wait_for_a_fuller_poll_ends_when_enough_is_free() -> None:
    """The linger is for filling polls, and no longer than that takes."""
    room = room_of(4)
    room.fill(room.reserve(4, AT_ONCE), 4)
    room.leave(settled=True)
    with ThreadPoolExecutor(1) as threads:
        reserved = threads.submit(room.reserve, 2, FOR_EVER)
        room.leave(settled=True)

        assert reserved.result(10) == 2


def test_the_limit_counts_what_was_settled() -> None:
    """What was released does not count: another message takes its place."""
    reached: list[int] = []
    room = Room(10, 2, lambda: reached.append(room.settled), nothing)
    room.fill(room.reserve(10, AT_ONCE), 2)
    room.leave(settled=False)
    room.leave(settled=True)
    assert reached == []
    room.fill(room.reserve(10, AT_ONCE), 1)
    room.leave(settled=True)

    assert (reached, room.settled) == ([2], 2)


def test_failures_are_counted_of_what_was_settled() -> None:
    """What was released will come again: it has not failed for good yet, though it is a failure now."""
    room = room_of(10)
    room.fill(room.reserve(10, AT_ONCE), 3)
    room.leave(settled=False, failed=True)
    room.leave(settled=True, failed=True)
    room.leave(settled=True)

    assert (room.settled, room.failed, room.failures) == (2, 1, 2)


def test_no_more_is_received_than_the_limit_still_allows() -> None:
    """A worker started for two jobs never takes a third."""
    room = room_of(10, limit=2)

    assert room.reserve(10, AT_ONCE) == 2


@pytest.mark.parametrize("received", [0, 1])
def test_a_closed_room_is_empty_only_when_the_polls_have_ended(received: int) -> None:
    """What a poll still brings has to leave first."""
    emptied: list[bool] = []
    room = room_of(10, on_empty=lambda: emptied.append(True))
    places = room.reserve(10, AT_ONCE)
    room.close()
    room.fill(places, received)
    assert emptied == [True] * (1 - received)
    for _ in range(received):
        room.leave(settled=True)

    assert emptied == [True]


class RoomMachine(RuleBasedStateMachine):
    """Receives, ends and closes in any order, against plain numbers."""

    @initialize(capacity=st.integers(1, 8), limit=st.none() | st.integers(1, 12))
    def open(self, capacity: int, limit: int | None) -> None:
        """Any capacity, with a limit or without."""
        self.empties = 0
        self.limits = 0
        self.capacity, self.limit = capacity, limit
        self.room = Room(capacity, limit, self._note_limit, self._note_empty)
        self.polls: list[int] = []
        self.taken = self.settled = 0
        self.closed = False

    def _note_empty(self) -> None:
        self.empties += 1

    def _note_limit(self) -> None:
        self.limits += 1

    def _free(self) -> int:
        free = self.capacity - self.taken - sum(self.polls)
        left = free if self.limit is None else self.limit - self.settled - self.taken - sum(self.polls)
        return min(free, left)

    @precondition(lambda self: self.closed or self._free() > 0)
    @rule(wanted=st.integers(1, 10))
    def reserve(self, wanted: int) -> None:
        """A receiver asks for places."""
        expected = 0 if self.closed else min(wanted, self._free())
        assert self.room.reserve(wanted, AT_ONCE) == expected
        if expected:
            self.polls.append(expected)

    @precondition(lambda self: self.polls)
    @rule(data=st.data())
    def end_poll(self, data: st.DataObject) -> None:
        """A poll brings as much as it asked for, or less."""
        places = self.polls.pop()
        received = data.draw(st.integers(0, places))
        self.room.fill(places, received)
        self.taken += received

    @precondition(lambda self: self.taken)
    @rule(settled=st.booleans())
    def leave(self, settled: bool) -> None:  # noqa: FBT001 - hypothesis passes it by name
        """A delivery is acked or released."""
        self.room.leave(settled=settled)
        self.taken -= 1
        self.settled += settled

    @precondition(lambda self: not self.closed)
    @rule()
    def close(self) -> None:
        """The worker stops."""
        self.room.close()
        self.closed = True

    @invariant()
    def never_more_than_there_is_room_for(self) -> None:
        """Taken and reserved places together, and the limit with what is settled."""
        assert self.room.taken == self.taken
        assert self.room.settled == self.settled
        assert self.room.taken + sum(self.polls) <= self.capacity
        if self.limit is not None:
            assert self.settled + self.taken + sum(self.polls) <= self.limit

    @invariant()
    def whoever_is_to_be_told_was_told_exactly_when_it_happened(self) -> None:
        """Once each, and not before."""
        assert self.empties == (self.closed and not self.taken and not self.polls)
        assert self.limits == (self.limit is not None and self.settled >= self.limit)


TestRoomMachine = RoomMachine.TestCase
