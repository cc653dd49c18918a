"""The shares of the room: more urgent queues have places of their own, and nothing is wasted for them."""

from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from worker.held import Room
from worker.shares import POLL_PLACES, Shares

AT_ONCE = 0.0
FOR_EVER = 60.0
PATIENCE_SECONDS = 60.0
URGENT, BULK = 0, 1


def nothing() -> None:
    """Nobody is told."""


def room_of(capacity: int, limit: int | None = None, queues: int = 2) -> Room:
    return Room(capacity, limit, nothing, nothing, queues)


def poll(room: Room, priority: int, received: int) -> int:
    """A whole poll that brings so many messages; how many it asked for."""
    places = room.reserve(10, AT_ONCE, priority)
    room.fill(places, received, priority)
    return places


def take_all(room: Room, priority: int) -> int:
    """Receive into the room until the queue may take no more; how much that was."""
    taken = 0
    while room._free(priority):
        places = room.reserve(10, AT_ONCE, priority)
        room.fill(places, places, priority)
        taken += places
    return taken


def test_a_less_urgent_queue_leaves_the_places_of_a_poll() -> None:
    """However many messages it has, the urgent queue can be asked for ten at any time."""
    room = room_of(100)

    assert take_all(room, BULK) == 90
    assert room.reserve(10, AT_ONCE, URGENT) == 10


def test_it_leaves_half_while_the_urgent_queue_s_polls_bring_something() -> None:
    """So the urgent jobs in hand keep every thread busy; later all but the places of a poll are free."""
    room = room_of(100)
    poll(room, URGENT, 3)
    assert take_all(room, BULK) == 50
    poll(room, URGENT, 0)

    assert take_all(room, BULK) == 40


def test_the_urgent_queue_takes_what_there_is() -> None:
    """It leaves nothing to others: that is what the order of the queues is for."""
    room = room_of(100)

    assert take_all(room, URGENT) == 100
    assert not room._free(BULK)


def test_one_queue_has_the_whole_room() -> None:
    """Nothing is kept for others that are not there."""
    assert take_all(room_of(100, queues=1), URGENT) == 100


def test_each_of_several_queues_leaves_places_for_all_that_are_more_urgent() -> None:
    """Of 100 the second leaves ten, the third twenty."""
    room = room_of(100, queues=3)

    assert (take_all(room, 2), take_all(room, 1), take_all(room, 0)) == (80, 10, 10)


@pytest.mark.parametrize(("capacity", "urgent", "bulk"), [(8, 4, 4), (3, 1, 2), (2, 1, 1)])
def test_an_idle_urgent_queue_s_poll_leaves_places_in_a_small_room(
    capacity: int, urgent: int, bulk: int
) -> None:
    """It can last for twenty seconds and bring nothing."""
    room = room_of(capacity)

    assert (room.reserve(10, AT_ONCE, URGENT), room.reserve(10, AT_ONCE, BULK)) == (urgent, bulk)


@pytest.mark.parametrize(("queues", "places"), [(3, 3), (4, 4), (4, 5), (6, 10)])
def test_each_queue_s_poll_has_a_place_where_there_are_as_many_as_queues(queues: int, places: int) -> None:
    """Idle queues poll for long: none waits for another's poll to end."""
    room = room_of(places, queues=queues)
    assert not room.is_tight

    polled = [one for one in range(queues) if room._free(one) and room.reserve(10, AT_ONCE, one)]

    assert polled == list(range(queues))


def test_a_place_that_becomes_free_goes_to_the_more_urgent_queue() -> None:
    """Though the other has waited for longer."""
    room = room_of(2)
    take_all(room, URGENT)
    with ThreadPoolExecutor(2) as threads:
        bulk = waiting(room, threads, BULK)
        urgent = waiting(room, threads, URGENT)
        room.leave(settled=True, priority=URGENT)

        assert urgent.result(PATIENCE_SECONDS) == 1
        assert not bulk.done()
        room.close()


def test_the_urgent_queue_does_not_wait_for_the_linger_of_another() -> None:
    """The other lingers for more places than are free, and gets what is left of them."""
    room = room_of(40)
    take_all(room, URGENT)
    for _ in range(3):
        room.leave(settled=True, priority=URGENT)
    with ThreadPoolExecutor(1) as threads:
        bulk = waiting(room, threads, BULK, linger_seconds=FOR_EVER)

        assert room.reserve(2, AT_ONCE, URGENT) == 2
        assert not bulk.done()
        room.close()


def test_a_single_place_goes_to_the_most_urgent_queue_first() -> None:
    """With `--limit 1` the other queue is not even asked before, whoever comes first."""
    room = room_of(100, limit=1)
    assert room.is_tight
    with ThreadPoolExecutor(1) as threads:
        bulk = waiting(room, threads, BULK)

        assert room.reserve(10, AT_ONCE, URGENT) == 1
        assert not bulk.done()
        room.close()


def test_the_last_places_of_a_limit_are_held_by_no_long_poll() -> None:
    """An idle urgent queue's poll would keep them from the others for as long as it lasts."""
    room = room_of(100, limit=30)
    assert not room.is_tight
    for _ in range(11):
        poll(room, BULK, 1)
        room.leave(settled=True, priority=BULK)

    assert room.is_tight


def test_with_one_queue_the_last_places_of_a_limit_are_polled_for_as_ever() -> None:
    """Nobody else waits for them."""
    assert not Room(100, 1, nothing, nothing).is_tight


def test_a_single_place_goes_to_the_next_queue_when_the_urgent_one_has_nothing() -> None:
    """Once; then the urgent one is asked again."""
    room = room_of(1)
    poll(room, URGENT, 0)
    with ThreadPoolExecutor(2) as threads:
        places = room.reserve(10, AT_ONCE, BULK)
        again = waiting(room, threads, URGENT)
        bulk = waiting(room, threads, BULK)
        room.fill(places, 1, BULK)
        room.leave(settled=True, priority=BULK)

        assert again.result(PATIENCE_SECONDS) == 1
        assert not bulk.done()
        room.close()


def test_every_queue_is_asked_where_places_are_few() -> None:
    """Three idle queues and one place: none is forgotten."""
    shares, asked = Shares(3), list[int]()
    for _ in range(8):
        priority = min((one for one in range(3) if shares.free(one, 1)), key=shares.order)
        shares.reserve(priority, 1)
        shares.fill(priority, 1, 0)
        asked.append(priority)

    assert asked == [0, 1, 0, 2, 0, 1, 0, 2]


def waiting(
    room: Room, threads: ThreadPoolExecutor, priority: int, linger_seconds: float = AT_ONCE
) -> Future[int]:
    """Let a queue wait for ten places."""
    before = len(room._waiting)
    reserved = threads.submit(room.reserve, 10, linger_seconds, priority)
    while len(room._waiting) == before and not reserved.done():
        pass
    return reserved


class SharesMachine(RuleBasedStateMachine):
    """Polls of several queues, ends of what they brought, in any order."""

    @initialize(capacity=st.integers(1, 60), limit=st.none() | st.integers(1, 80), queues=st.integers(1, 4))
    def open(self, capacity: int, limit: int | None, queues: int) -> None:
        """Any room, any number of queues."""
        self.room = Room(capacity, limit, nothing, nothing, queues)
        self.capacity, self.limit, self.queues = capacity, limit, queues
        self.polls = dict[int, int]()
        self.in_hand = [0] * queues
        self.settled = 0

    def _total(self) -> int:
        return self.capacity if self.limit is None else min(self.capacity, self.limit - self.settled)

    def _held(self, priority: int) -> int:
        """Places of this queue and all behind it."""
        return sum(self.in_hand[priority:]) + sum(
            places for one, places in self.polls.items() if one >= priority
        )

    def _may_poll(self, priority: int) -> bool:
        return priority not in self.polls and self.room._free(priority) > 0

    @rule(priority=st.integers(0, 3), wanted=st.integers(1, 10))
    def begin(self, priority: int, wanted: int) -> None:
        """A poll begins where it may; it takes no place that is kept for a more urgent queue."""
        if priority >= self.queues or not self._may_poll(priority):
            return
        places = self.room.reserve(wanted, AT_ONCE, priority)
        self.polls[priority] = places
        assert 0 < places <= wanted
        total = self._total()
        assert self._held(0) <= total
        if priority:
            kept = min(POLL_PLACES, total // 2)
            one_each = self.queues - 1 if total >= self.queues else 0
            assert self._held(1) <= max(total - kept, one_each)

    @precondition(lambda self: self.polls)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """A poll ends."""
        priority = data.draw(st.sampled_from(sorted(self.polls)))
        places = self.polls.pop(priority)
        received = data.draw(st.integers(0, places))
        self.room.fill(places, received, priority)
        self.in_hand[priority] += received

    @precondition(lambda self: any(self.in_hand))
    @rule(data=st.data(), settled=st.booleans())
    def leave(self, data: st.DataObject, settled: bool) -> None:  # noqa: FBT001 - hypothesis passes it by name
        """A delivery is acked or released."""
        priority = data.draw(st.sampled_from([one for one in range(self.queues) if self.in_hand[one]]))
        self.room.leave(settled=settled, priority=priority)
        self.in_hand[priority] -= 1
        self.settled += settled

    @invariant()
    def some_queue_can_be_asked_while_a_place_is_free(self) -> None:
        """Places are kept for those who can use them: never for nobody, but for polls that are under way."""
        idle = [one for one in range(self.queues) if one not in self.polls]
        if idle and self._held(0) < self._total() and 0 in idle:
            assert self._may_poll(0)

    @invariant()
    def the_least_urgent_can_be_asked_in_a_room_that_others_leave(self) -> None:
        """An idle queue's poll never keeps the others from beginning, where places are not few.

        One that began before the limit came near may, until it ends.
        """
        last, came_near = self.queues - 1, self.settled and self._total() < self.capacity
        are_few = came_near or self._total() < self.queues
        if not any(self.in_hand) and last not in self.polls and not are_few:
            assert self._may_poll(last)

    def teardown(self) -> None:
        """Every queue comes to its turn in the end, where all polls bring nothing."""
        for priority, places in self.polls.items():
            self.room.fill(places, 0, priority)
        for priority, count in enumerate(self.in_hand):
            for _ in range(count):
                self.room.leave(settled=False, priority=priority)
        asked = set[int]()
        for _ in range(4**self.queues if self._total() else 0):
            may = [one for one in range(self.queues) if self.room._free(one)]
            priority = min(may, key=self.room._shares.order)
            poll(self.room, priority, 0)
            asked.add(priority)
        assert not self._total() or (asked == set(range(self.queues)) or self._total() >= self.queues)


TestSharesMachine = SharesMachine.TestCase
