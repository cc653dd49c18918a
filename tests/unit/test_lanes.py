"""The lanes: limits held, turns fair, a shard that is away waits alone."""

import threading
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.support.fakes import ManualTime
from tests.support.lanes import PATIENCE_SECONDS, SECOND, lanes_of, take
from worker.lanes import Lanes


def fill(lanes: Lanes[str], shard: str, *items: str) -> None:
    assert [lanes.offer(shard, item) for item in items] == [None] * len(items)


def put_away(lanes: Lanes[str], shard: str, item: str = "probe") -> list[str]:
    """Let a part find that the shard is away; what was given back."""
    fill(lanes, shard, item)
    return lanes.finished(take(lanes), answered=False)


def test_a_shard_never_runs_more_than_its_limit() -> None:
    """The third of two waits until one has ended, however many threads ask."""
    lanes = lanes_of(limit=2)
    fill(lanes, "eu1", "a", "b", "c")
    fill(lanes, "eu2", "d")
    first, second, other = take(lanes), take(lanes), take(lanes)
    assert {first.item, second.item, other.item} == {"a", "b", "d"}
    lanes.finished(first, answered=True)

    assert take(lanes).item == "c"


def test_lanes_take_turns() -> None:
    """A shard with a hundred parts does not make another shard's single part wait."""
    lanes = lanes_of(limit=100)
    fill(lanes, "eu1", *(f"many-{number}" for number in range(100)))
    fill(lanes, "eu2", "one", "two")

    assert [take(lanes).item for _ in range(5)] == ["many-0", "one", "many-1", "two", "many-2"]


def test_a_lane_runs_its_items_in_order() -> None:
    """First come, first served."""
    lanes = lanes_of(limit=10)
    fill(lanes, "eu1", "a", "b", "c")

    assert [take(lanes).item for _ in range(3)] == ["a", "b", "c"]


def test_a_shard_that_is_away_is_probed_after_its_back_off_by_one_item_at_a_time() -> None:
    """Its other items wait, whatever its limit."""
    time = ManualTime(chance=0.999_999)
    lanes = lanes_of(time, limit=4)
    put_away(lanes, "eu1", "probe")
    fill(lanes, "eu1", "later")
    fill(lanes, "eu2", "other shard")
    assert take(lanes).item == "other shard"
    assert lanes.away() == ["eu1"]
    time.pass_time(1)
    probe = take(lanes)
    fill(lanes, "eu2", "again")

    assert (probe.item, take(lanes).item) == ("probe", "again")


def test_an_item_that_alone_finds_its_shard_away_does_not_keep_it_from_the_others() -> None:
    """It goes behind them: the next probe is another item, and the shard is back."""
    time = ManualTime(chance=0.999_999)
    lanes = lanes_of(time)
    fill(lanes, "eu1", "poison", "a", "b")
    lanes.finished(take(lanes), answered=False)
    time.pass_time(1)
    probe = take(lanes)
    lanes.finished(probe, answered=True)

    assert (probe.item, lanes.away(), [lanes.waiting(), take(lanes).item]) == ("a", [], [2, "b"])


def test_the_back_off_grows_with_each_probe_and_starts_anew_after_an_answer() -> None:
    """One, two, four seconds; then the shard is back and takes its full limit again."""
    time = ManualTime(chance=0.999_999)
    lanes = lanes_of(time, limit=2)
    put_away(lanes, "eu1")
    for seconds in (1, 2, 4):
        lane = lanes._lanes["eu1"]
        assert lane.away_until == pytest.approx(time.seconds + seconds, rel=1e-5)
        time.pass_time(seconds)
        lanes.finished(take(lanes), answered=False)
    time.pass_time(8)
    with capture_logs() as lines:
        lanes.finished(take(lanes), answered=True)
    fill(lanes, "eu1", "a", "b")

    assert [(line["event"], line["tries"]) for line in lines] == [("shard.back", 4)]
    assert (lanes.away(), {take(lanes).item, take(lanes).item}) == ([], {"a", "b"})


def test_parts_that_find_the_shard_away_together_count_as_one_try() -> None:
    """Sixteen connections break at once: the first probe comes after a second, not after minutes."""
    time = ManualTime(chance=0.999_999)
    lanes = lanes_of(time, limit=16)
    fill(lanes, "eu1", *(str(number) for number in range(16)))
    running = [take(lanes) for _ in range(16)]
    with capture_logs() as lines:
        for taken in running:
            assert lanes.finished(taken, answered=False) == []
    time.pass_time(1)

    assert take(lanes).item in {str(number) for number in range(16)}
    assert [line["event"] for line in lines] == ["shard.away"]


def test_what_cannot_be_held_for_a_shard_that_is_away_is_given_back() -> None:
    """The one that found it away, then the newest; new ones are refused."""
    lanes = lanes_of(ManualTime(), held=3)
    fill(lanes, "eu1", "a", "b", "c", "d", "e")

    assert lanes.finished(take(lanes), answered=False) == ["a", "e"]
    assert lanes.offer("eu1", "f") == "shard_away"
    assert lanes.waiting() == 3


def test_a_healthy_shard_takes_everything_while_others_are_away() -> None:
    """Only items for shards that are away are counted."""
    lanes = lanes_of(ManualTime(), held=1)
    put_away(lanes, "eu1")
    fill(lanes, "eu2", *(str(number) for number in range(50)))

    assert lanes.waiting() == 51


def test_a_shard_that_is_back_is_found_although_others_fill_the_held_places() -> None:
    """One shard that is down for days must not keep another's short absence from being noticed as over."""
    time = ManualTime()
    lanes = lanes_of(time, held=2)
    put_away(lanes, "eu1", "old")
    fill(lanes, "eu1", "old too")
    assert put_away(lanes, "eu2", "new") == ["new"]
    assert lanes.offer("eu2", "too early") == "shard_away"
    time.pass_time(0.6)
    fill(lanes, "eu2", "probe")
    assert lanes.offer("eu2", "no second one") == "shard_away"
    taken = [take(lanes), take(lanes)]
    for one in taken:
        lanes.finished(one, answered=one.lane.shard == "eu2")

    assert {one.item for one in taken} == {"old", "probe"}
    assert lanes.away() == ["eu1"]
    assert lanes.offer("eu2", "welcome") is None


def test_closing_returns_what_did_not_start_and_ends_the_workers() -> None:
    """Once; what runs is finished by its thread, and refused when its shard is away."""
    lanes = lanes_of(ManualTime())
    fill(lanes, "eu1", "runs", "a", "b")
    fill(lanes, "eu2", "c")
    running = take(lanes)

    assert sorted(lanes.close()) == ["a", "b", "c"]
    assert (lanes.close(), lanes.take(), lanes.offer("eu1", "d")) == ([], None, "shutdown")
    assert lanes.finished(running, answered=False) == ["runs"]


def test_closing_wakes_every_waiting_worker() -> None:
    """None of them is left behind."""
    lanes = lanes_of()
    threads = [threading.Thread(target=lanes.take, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    lanes.close()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)

    assert not any(thread.is_alive() for thread in threads)


def test_a_waiting_worker_notices_a_due_probe_while_the_others_are_busy() -> None:
    """Whoever slept until then may have been woken for other work: somebody else must wake in its place."""
    lanes = lanes_of(limit=1, delays=(timedelta(milliseconds=100), SECOND))
    busy, release = threading.Semaphore(0), threading.Event()
    probed = threading.Event()

    def work() -> None:
        while (taken := lanes.take()) is not None:
            if taken.item == "probe":
                probed.set()
            else:
                busy.release()
                release.wait(PATIENCE_SECONDS)
            lanes.finished(taken, answered=True)

    put_away(lanes, "eu1", "probe")
    for _ in range(3):
        threading.Thread(target=work, daemon=True).start()
    fill(lanes, "eu2", "long")
    fill(lanes, "us1", "long")
    for _ in range(2):
        assert busy.acquire(timeout=PATIENCE_SECONDS)

    assert probed.wait(PATIENCE_SECONDS)
    release.set()
    lanes.close()
