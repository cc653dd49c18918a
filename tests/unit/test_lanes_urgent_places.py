"""What lanes keep for urgent items is of use to somebody, and finding who is next costs little."""

from itertools import count

import pytest

from tests.support.fakes import ManualTime
from tests.support.lanes import Piece, end, fill, lanes_of, put_away, take
from worker.lane import Lane, Reply
from worker.lanes import Lanes


def can_take(lanes: Lanes[Piece]) -> bool:
    """Whether a thread would find something now."""
    return any(lanes._rank(lane, lanes._clock.monotonic()) is not None for lane in lanes._rotation)


def hang(lanes: Lanes[Piece], count: int) -> None:
    """Let threads be given up in the next items."""
    for _ in range(count):
        lanes.finished(take(lanes), Reply.NOT_ASKED, thread_is_back=False)


@pytest.mark.parametrize(("threads", "given_up", "name"), [(2, 1, "bulk@1"), (4, 2, "nightly@2")])
def test_threads_that_were_given_up_are_not_kept_from_what_is_less_urgent(
    threads: int, given_up: int, name: str
) -> None:
    """Those that are left are shared as if there were no others: nothing stands still for ever."""
    lanes = lanes_of(limit=10, threads=threads)
    fill(lanes, "eu1", *(f"{number} {name}" for number in range(4)))
    hang(lanes, given_up)

    assert can_take(lanes)


def test_of_the_threads_that_are_left_one_is_kept_for_the_urgent() -> None:
    """Though it was urgent items that the others hang in."""
    lanes = lanes_of(limit=10, threads=6)
    fill(lanes, "eu1", "hangs", "hangs too")
    hang(lanes, 2)
    fill(lanes, "eu1", *(f"{number}@1" for number in range(4)))
    for _ in range(3):
        take(lanes)

    assert not can_take(lanes)


def test_a_probe_that_has_no_place_leaves_its_turn_to_a_more_urgent_one() -> None:
    """Bulk has all the threads that it may: the urgent item asks whether the shard is back."""
    time = ManualTime()
    lanes = lanes_of(time, limit=4, threads=2)
    put_away(lanes, "eu1", "urgent")
    fill(lanes, "eu1", "never asked@1")
    fill(lanes, "eu2", "long@1")
    assert take(lanes).item == "long@1"
    time.pass_time(60)

    assert can_take(lanes)
    assert take(lanes).item == "urgent"


def test_an_urgent_item_that_cannot_run_does_not_make_every_look_a_look_at_all_lanes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It waits for its shard, maybe for hours, while bulk is taken lane after lane."""
    lanes = lanes_of(ManualTime(), limit=1, server_limit=64)
    fill(lanes, "eu1", "runs", "waits")
    take(lanes)
    for number in range(100):
        fill(lanes, f"bulk{number}", *(f"{number} {which}@1" for which in range(2)))
    looks, is_ready = count(), Lane.ready

    def counted(lane: Lane[Piece], now: float) -> bool:
        next(looks)
        return is_ready(lane, now)

    monkeypatch.setattr(Lane, "ready", counted)
    for _ in range(200):
        end(lanes, take(lanes))

    assert next(looks) < 3 * 200
