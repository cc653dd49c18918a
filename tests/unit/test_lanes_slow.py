"""A lane that is slow leaves the room to the others: what it cannot run soon goes back to the queue."""

from datetime import timedelta

import pytest

from tests.support.fakes import ManualTime
from tests.support.lanes import Piece, code_of, end, fill, lanes_of, put_away, take
from worker.lanes import Lanes

SLOW_AFTER = timedelta(seconds=5)
LATEST = 0.999_999


def stuck(time: ManualTime, held: int = 3, waiting: int = 9) -> Lanes[Piece]:
    """A lane whose one running part does not end, with as many waiting behind it."""
    lanes = lanes_of(time, held=held, slow_after=SLOW_AFTER)
    fill(lanes, "eu1", "runs", *(str(number) for number in range(waiting)))
    take(lanes)
    return lanes


def test_a_lane_that_waits_for_long_gives_back_what_is_beyond_its_share() -> None:
    """The newest first, after five seconds; new ones are refused, uncounted, as busy."""
    time = ManualTime()
    lanes = stuck(time)
    time.pass_time(5)
    assert (lanes.shed(), code_of(lanes, "eu1", "in time")) == ([], None)
    time.pass_time(0.1)
    given_back = lanes.shed()

    assert [str(piece) for piece, _ in given_back] == ["in time", "8", "7", "6", "5", "4", "3"]
    assert {deferral.code for _, deferral in given_back} == {"shard_busy"}
    assert code_of(lanes, "eu1", "late") == "shard_busy"
    assert code_of(lanes, "eu2", "healthy") is None


def test_a_busy_lane_that_gets_on_keeps_everything() -> None:
    """Much waits, and no part for long: that is work, not sickness."""
    time = ManualTime()
    lanes = lanes_of(time, held=3, slow_after=SLOW_AFTER)
    fill(lanes, "eu1", *(str(number) for number in range(20)))
    for number in range(100):
        end(lanes, take(lanes))
        fill(lanes, "eu1", f"more {number}")
        time.pass_time(0.2)
        assert lanes.shed() == []

    assert lanes.waiting() == 20


def test_the_only_shard_may_fill_the_room() -> None:
    """There is nobody to leave it to."""
    time = ManualTime()
    lanes = lanes_of(time, held=1)
    fill(lanes, "eu1", *(str(number) for number in range(20)))
    time.pass_time(3600)

    assert (lanes.shed(), code_of(lanes, "eu1", "one more")) == ([], None)


def test_a_lane_that_gets_on_again_takes_everything_again() -> None:
    """Whether it is slow is judged by what waits now."""
    time = ManualTime()
    lanes = lanes_of(time, held=1, slow_after=SLOW_AFTER)
    fill(lanes, "eu1", "runs", "a", "b")
    running = take(lanes)
    time.pass_time(6)
    assert [piece for piece, _ in lanes.shed()] == ["b"]
    end(lanes, running)
    end(lanes, take(lanes))

    assert [code_of(lanes, "eu1", name) for name in ("c", "d", "e")] == [None, None, None]


def test_slow_lanes_together_have_one_share_but_each_keeps_its_threads_busy() -> None:
    """Ten slow shards fill the room no more than one does."""
    time = ManualTime()
    lanes = lanes_of(time, held=3, slow_after=SLOW_AFTER)
    for shard in ("eu1", "eu2", "eu3", "eu4"):
        fill(lanes, shard, *(f"{shard} {number}" for number in range(5)))
    time.pass_time(6)
    lanes.shed()

    assert [len(lane.queue) for lane in lanes._lanes.values()] == [1, 1, 1, 1]


def test_the_parts_of_a_job_that_waits_anyway_are_taken() -> None:
    """They fill no further place: a job of many customers is not sent to and fro for each of them."""
    time = ManualTime()
    lanes = lanes_of(time, held=2, slow_after=SLOW_AFTER)
    fill(lanes, "eu1", "acme/wide/1", "acme/wide/2", "acme/wide/3", "acme/small/1")
    time.pass_time(6)

    assert lanes.shed() == []
    assert code_of(lanes, "eu1", "acme/wide/4") is None
    assert code_of(lanes, "eu1", "acme/third/1") == "shard_busy"


def test_the_partner_with_most_of_it_gives_back() -> None:
    """A flood does not push another's single part out."""
    time = ManualTime()
    lanes = lanes_of(time, held=2, slow_after=SLOW_AFTER)
    fill(lanes, "eu1", "flood/a/1", "flood/b/1", "flood/c/1", "flood/d/1", "poor/e/1")
    time.pass_time(6)

    assert [piece for piece, _ in lanes.shed()] == ["flood/d/1", "flood/c/1", "flood/b/1"]


def test_what_is_given_back_comes_again_later_the_longer_the_lane_is_slow() -> None:
    """A third of that time at most, as for a shard that is away."""
    time = ManualTime(chance=LATEST)
    lanes = stuck(time)
    time.pass_time(6)
    lanes.shed()
    delays = []
    for seconds in (0, 40, 1000):
        time.pass_time(seconds)
        refused = lanes.offer("eu1", Piece("late"))
        assert refused is not None
        delays.append(refused.after.total_seconds())

    assert delays == pytest.approx([1, 40 / 3, 60], rel=1e-3)


def test_an_absence_is_no_slowness() -> None:
    """What was held meanwhile has not waited for the lane: when the shard is back, all are taken."""
    time = ManualTime(chance=LATEST)
    lanes = lanes_of(time, held=3, slow_after=SLOW_AFTER)
    put_away(lanes, "eu1")
    fill(lanes, "eu1", "a", "b")
    time.pass_time(60)
    end(lanes, take(lanes))

    assert [code_of(lanes, "eu1", str(number)) for number in range(5)] == [None] * 5
