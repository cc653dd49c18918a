"""Lanes with items of several priorities: the urgent first, places kept for them, nobody's probe for ever."""

import threading
from datetime import timedelta

import pytest

from tests.support.fakes import ManualTime
from tests.support.lanes import (
    PATIENCE_SECONDS,
    Piece,
    code_of,
    end,
    fill,
    lanes_of,
    miss,
    put_away,
    rules_of,
    take,
)
from worker.lane import Reply
from worker.lanes import Lanes
from worker.occupancy import Occupancy

SLOW_AFTER = timedelta(seconds=5)


def taken_names(lanes: Lanes[Piece], count: int) -> list[str]:
    """Take so many items, none of which ends."""
    return [str(take(lanes).item) for _ in range(count)]


def can_take(lanes: Lanes[Piece]) -> bool:
    """Whether a thread would find something now."""
    return any(lanes._rank(lane, lanes._clock.monotonic()) is not None for lane in lanes._rotation)


def test_in_a_lane_urgent_items_go_first_and_partners_take_turns_in_each_priority() -> None:
    """Though they came last."""
    lanes = lanes_of(limit=100)
    fill(lanes, "eu1", "flood/a/1@1", "flood/a/2@1", "poor/b/1@1", "acme/c/1", "acme/c/2", "other/d/1")

    assert taken_names(lanes, 6) == [
        *("acme/c/1", "other/d/1", "acme/c/2"),
        *("flood/a/1@1", "poor/b/1@1", "flood/a/2@1"),
    ]


def test_among_lanes_the_urgent_go_first_and_lanes_take_turns_in_each_priority() -> None:
    """A hundred lanes with bulk do not make a single urgent item wait."""
    lanes = lanes_of(limit=100)
    for number in range(5):
        fill(lanes, f"bulk{number}", f"{number}@1", f"{number} again@1")
    fill(lanes, "eu1", "urgent", "urgent too")
    fill(lanes, "eu2", "urgent elsewhere")

    assert taken_names(lanes, 3) == ["urgent", "urgent elsewhere", "urgent too"]
    assert taken_names(lanes, 5) == [f"{number}@1" for number in range(5)]


def test_an_urgent_item_that_cannot_run_keeps_no_other_from_running() -> None:
    """Its shard runs as many as it may: the thread takes what another shard has."""
    lanes = lanes_of(limit=1)
    fill(lanes, "eu1", "runs", "waits")
    fill(lanes, "eu2", "bulk@1")

    assert taken_names(lanes, 2) == ["runs", "bulk@1"]
    assert not can_take(lanes)


@pytest.mark.parametrize(
    ("places", "second", "third"), [(1, 1, 1), (2, 1, 1), (3, 2, 2), (4, 3, 2), (8, 7, 6), (64, 63, 62)]
)
def test_each_queue_leaves_a_place_for_each_more_urgent_one_but_half_at_most(
    places: int, second: int, third: int
) -> None:
    """Where there is one place alone, everybody may have it."""
    for priority, most in {1: second, 2: third}.items():
        occupancy, entered = Occupancy(), 0
        while entered < places and occupancy.lets_in(priority, places):
            occupancy.enter(priority)
            entered += 1
        assert entered == most
        assert occupancy.lets_in(0, places)


def test_what_is_kept_for_the_most_urgent_counts_those_between() -> None:
    """Of eight places, the second and the third queue together leave one to the first."""
    occupancy = Occupancy()
    for priority in (2, 2, 2, 2, 2, 2, 1):
        assert occupancy.lets_in(priority, 8)
        occupancy.enter(priority)

    assert not occupancy.lets_in(1, 8)
    occupancy.leave(2)
    assert occupancy.lets_in(1, 8)


def test_bulk_leaves_a_thread_to_the_urgent() -> None:
    """However long it runs; with one queue all threads are its own."""
    lanes = lanes_of(limit=10, threads=3)
    fill(lanes, "eu1", *(f"{number}@1" for number in range(5)))
    running = [take(lanes), take(lanes)]
    assert not can_take(lanes)
    fill(lanes, "eu2", "urgent")
    assert take(lanes).item == "urgent"
    end(lanes, running[0])

    assert take(lanes).item == "2@1"


def test_bulk_leaves_a_place_of_its_shard_and_of_its_server_to_the_urgent() -> None:
    """Where the limit allows."""
    lanes = lanes_of(limit=2, server_limit=3)
    for shard in ("db1.a", "db1.b", "db1.c"):
        fill(lanes, shard, "first@1", "second@1")
    assert [take(lanes).lane.shard, take(lanes).lane.shard] == ["db1.a", "db1.b"]
    assert not can_take(lanes)
    fill(lanes, "db1.a", "urgent")

    assert take(lanes).item == "urgent"


def test_a_thread_that_hangs_in_bulk_counts_as_bulk_s_until_it_is_back() -> None:
    """Its item was ended without it: the shard's place is free, the thread is not."""
    lanes = lanes_of(limit=10, threads=3)
    fill(lanes, "eu1", *(f"{number}@1" for number in range(5)))
    hanging = take(lanes)
    take(lanes)
    lanes.finished(hanging, Reply.NOT_ASKED, thread_is_back=False)
    assert not can_take(lanes)
    lanes.came_back()

    assert take(lanes).item == "2@1"


def test_a_thread_that_was_kept_from_bulk_is_woken_for_it_when_it_may() -> None:
    """Another ends: whoever waits goes on, without a look from time to time."""
    lanes = lanes_of(limit=10, threads=2)
    fill(lanes, "eu1", "first@1", "second@1")
    first = take(lanes)
    taken = threading.Event()

    def take_one() -> None:
        take(lanes)
        taken.set()

    threading.Thread(target=take_one, daemon=True).start()
    end(lanes, first)

    assert taken.wait(PATIENCE_SECONDS)


def test_a_change_of_the_threads_is_taken_at_once() -> None:
    """A reload with more of them."""
    lanes = lanes_of(limit=10, threads=2)
    fill(lanes, "eu1", "first@1", "second@1")
    take(lanes)
    assert not can_take(lanes)
    lanes.apply(rules_of(limit=10, threads=3))

    assert take(lanes).item == "second@1"


def test_an_urgent_item_that_makes_its_shard_look_away_is_not_every_probe() -> None:
    """Another in its lane, less urgent, tells that the shard is back."""
    time = ManualTime()
    lanes = lanes_of(time)
    put_away(lanes, "eu1", "poison")
    fill(lanes, "eu1", "bulk@1")
    time.pass_time(60)

    assert take(lanes).item == "bulk@1"


def test_of_the_shards_of_a_server_that_is_away_an_urgent_one_is_not_asked_for_ever() -> None:
    """It may be away for itself: the others' probes take turns with its."""
    time = ManualTime()
    lanes = lanes_of(time)
    put_away(lanes, "db1.a", "urgent")
    fill(lanes, "db1.b", "bulk@1")
    miss(lanes)
    assert lanes.away_servers() == ["db1"]
    asked = []
    for _ in range(4):
        time.pass_time(60)
        taken = take(lanes)
        asked.append(taken.lane.shard)
        end(lanes, taken, Reply.UNANSWERED)

    assert sorted(asked[:2]) == sorted(asked[2:]) == ["db1.a", "db1.b"]


def test_a_probe_is_taken_though_the_urgent_never_end() -> None:
    """A shard whose bulk alone waits is found to be back."""
    time = ManualTime()
    lanes = lanes_of(time, limit=100)
    put_away(lanes, "eu1", "bulk@1")
    fill(lanes, "eu2", *(f"urgent {number}" for number in range(50)))
    time.pass_time(60)

    assert "bulk@1" in taken_names(lanes, 2)


def test_a_thread_does_not_spin_over_a_probe_that_must_leave_it_to_the_urgent() -> None:
    """The probe is due, and bulk has all the threads that it may: who waits is woken when one ends."""
    time = ManualTime()
    lanes = lanes_of(time, limit=1, threads=2)
    put_away(lanes, "eu1", "probe@1")
    fill(lanes, "eu2", "long@1")
    take(lanes)
    time.pass_time(60)

    assert not can_take(lanes)
    assert lanes._seconds_to_probe(time.seconds) is None


def test_what_an_absent_shard_cannot_hold_is_the_least_urgent_and_newest() -> None:
    """In all lanes that are away, before the urgent in any."""
    time = ManualTime()
    lanes = lanes_of(time, held=3)
    put_away(lanes, "eu1", "old@1")
    fill(lanes, "eu1", "newer@1", "newest@1")
    assert code_of(lanes, "eu1", "late@1") == "shard_away"
    fill(lanes, "eu1", "urgent", "urgent too")

    assert [str(piece) for piece, _ in lanes.shed()] == ["newest@1", "newer@1"]
    fill(lanes, "eu1", "third")
    assert code_of(lanes, "eu1", "fourth") == "shard_away"
    assert [str(piece) for piece, _ in lanes.shed()] == ["old@1"]


def test_a_lane_that_is_slow_for_bulk_takes_what_is_urgent() -> None:
    """That bulk waits there says nothing of the urgent, which need not wait for it."""
    time = ManualTime()
    lanes = lanes_of(time, held=3, slow_after=SLOW_AFTER)
    fill(lanes, "eu1", *(f"{number}@1" for number in range(6)))
    take(lanes)
    time.pass_time(6)
    assert code_of(lanes, "eu1", "late@1") == "shard_busy"
    fill(lanes, "eu1", *(f"urgent {number}" for number in range(10)))

    assert [str(piece) for piece, _ in lanes.shed()] == ["5@1", "4@1"]


def test_a_lane_that_is_slow_for_the_urgent_is_slow_for_all() -> None:
    """What is given back is bulk first, then the newest of the urgent."""
    time = ManualTime()
    lanes = lanes_of(time, held=3, slow_after=SLOW_AFTER)
    fill(lanes, "eu1", "runs", *(f"urgent {number}" for number in range(5)), "bulk@1")
    take(lanes)
    time.pass_time(6)

    assert code_of(lanes, "eu1", "late") == "shard_busy"
    assert [str(piece) for piece, _ in lanes.shed()] == ["bulk@1", "urgent 4", "urgent 3"]


def test_a_miss_leaves_an_item_in_its_priority() -> None:
    """When its shard is back it goes before what is less urgent."""
    time = ManualTime()
    lanes = lanes_of(time, limit=4)
    fill(lanes, "eu1", "urgent", "bulk@1")
    miss(lanes)

    assert taken_names(lanes, 2) == ["urgent", "bulk@1"]


def test_bulk_in_slow_lanes_takes_no_room_from_what_is_urgent() -> None:
    """Though the lane is slow for the urgent too: they may hold what bulk holds, which is given back."""
    time = ManualTime()
    lanes = lanes_of(time, held=3, slow_after=SLOW_AFTER)
    fill(lanes, "eu1", *(f"{number}@1" for number in range(5)))
    fill(lanes, "eu2", "runs", "urgent")
    assert take(lanes).item == "runs"
    time.pass_time(6)

    assert [code_of(lanes, "eu2", name) for name in ("second", "third", "late")] == [None, None, "shard_busy"]
