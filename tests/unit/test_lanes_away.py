"""A shard that is away waits alone: probes, the way back, and what is held meanwhile."""

import pytest
from structlog.testing import capture_logs

from tests.support.fakes import ManualTime
from tests.support.lanes import Piece, code_of, end, fill, lanes_of, miss, put_away, take
from worker.lane import Reply

LATEST = 0.999_999


def test_a_single_connection_that_was_cut_does_not_close_a_lane() -> None:
    """The part is simply tried again, at once; nobody is told."""
    lanes = lanes_of(ManualTime())
    fill(lanes, "eu1", "a")
    with capture_logs() as lines:
        assert miss(lanes) == []
    again = take(lanes)
    end(lanes, again)

    assert (again.item, lanes.away(), lines) == ("a", [], [])


def test_a_shard_that_is_away_is_probed_after_its_cool_down_by_one_item_at_a_time() -> None:
    """Its other items wait, whatever its limit."""
    time = ManualTime(chance=LATEST)
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
    time = ManualTime(chance=LATEST)
    lanes = lanes_of(time)
    fill(lanes, "eu1", "poison")
    miss(lanes)
    miss(lanes)
    fill(lanes, "eu1", "a", "b")
    time.pass_time(1)
    miss(lanes)
    time.pass_time(2)
    probe = take(lanes)
    end(lanes, probe)

    assert (probe.item, lanes.away(), [lanes.waiting(), take(lanes).item]) == ("a", [], [2, "b"])


def test_an_item_that_finds_an_answering_shard_away_again_and_again_is_given_back() -> None:
    """It must not run in circles beside the others: the third time it goes to the queue."""
    lanes = lanes_of(ManualTime())
    fill(lanes, "eu1", "poison", *(str(number) for number in range(9)))
    given_back: list[str] = []
    for _ in range(30):
        if lanes.waiting() == 0:
            break
        taken = take(lanes)
        reply = Reply.UNANSWERED if taken.item == "poison" else Reply.ANSWERED
        given_back += end(lanes, taken, reply)
        fill(lanes, "eu1", "another")

    assert given_back == ["poison"]
    assert lanes.away() == []


def test_the_cool_down_grows_with_each_probe_and_starts_anew_after_an_answer() -> None:
    """One, two, four seconds; then the shard is back."""
    time = ManualTime(chance=LATEST)
    lanes = lanes_of(time, limit=2)
    put_away(lanes, "eu1")
    for seconds in (1, 2, 4):
        assert lanes._seconds_to_probe(time.seconds) == pytest.approx(seconds, rel=1e-5)
        time.pass_time(seconds)
        miss(lanes)
    time.pass_time(8)
    with capture_logs() as lines:
        end(lanes, take(lanes))

    assert [(line["event"], line["tries"], line["away_ms"]) for line in lines] == [("shard.back", 4, 15_000)]
    put_away(lanes, "eu1")
    assert lanes._seconds_to_probe(time.seconds) == pytest.approx(1, rel=1e-5)


def test_a_shard_that_is_back_takes_one_part_then_two_then_four() -> None:
    """A database that has just started is not run over."""
    time = ManualTime(chance=LATEST)
    lanes = lanes_of(time, limit=4)
    put_away(lanes, "eu1")
    fill(lanes, "eu1", *(str(number) for number in range(20)))
    time.pass_time(1)
    at_once = []
    end(lanes, take(lanes))
    for _ in range(4):
        running = []
        while lanes._next_ready(time.seconds) is not None:
            running.append(take(lanes))
        at_once.append(len(running))
        for taken in running:
            end(lanes, taken)

    assert at_once == [1, 2, 4, 4]


def test_parts_that_find_the_shard_away_together_count_as_one_absence() -> None:
    """Sixteen connections break at once: the first probe comes after a second, not after minutes."""
    time = ManualTime(chance=LATEST)
    lanes = lanes_of(time, limit=16)
    fill(lanes, "eu1", *(str(number) for number in range(16)))
    running = [take(lanes) for _ in range(16)]
    with capture_logs() as lines:
        for taken in running:
            assert end(lanes, taken, Reply.UNANSWERED) == []
    time.pass_time(1)

    assert take(lanes).item in {str(number) for number in range(16)}
    assert [line["event"] for line in lines] == ["shard.away"]


def test_what_began_before_the_absence_says_nothing_about_its_end() -> None:
    """An old connection that still works is no reason to let everybody in."""
    time = ManualTime(chance=LATEST)
    lanes = lanes_of(time, limit=3)
    fill(lanes, "eu1", "a", "b", "c")
    old, *others = [take(lanes) for _ in range(3)]
    for taken in others:
        end(lanes, taken, Reply.UNANSWERED)
    end(lanes, old)

    assert lanes.away() == ["eu1"]


def test_a_probe_that_was_not_asked_leaves_its_turn_to_another() -> None:
    """Its job had ended meanwhile: that says nothing about the shard."""
    time = ManualTime(chance=LATEST)
    lanes = lanes_of(time)
    put_away(lanes, "eu1", "dropped")
    fill(lanes, "eu1", "next")
    time.pass_time(1)
    end(lanes, take(lanes), Reply.NOT_ASKED)

    assert (lanes.away(), take(lanes).item) == (["eu1"], "next")


def test_what_cannot_be_held_for_a_shard_that_is_away_is_given_back() -> None:
    """The newest; new ones are refused."""
    lanes = lanes_of(ManualTime(), held=3)
    fill(lanes, "eu1", "a", "b", "c", "d", "e")
    assert miss(lanes) == []

    assert miss(lanes) == ["b", "a"]
    assert code_of(lanes, "eu1", "f") == "shard_away"
    assert lanes.waiting() == 3


def test_what_cannot_be_held_comes_again_after_a_share_of_the_absence() -> None:
    """A third of it, after the least delay and before the longest, spread by chance: all are there soon."""
    for chance in (0.0, LATEST):
        time = ManualTime(chance=chance)
        lanes = lanes_of(time, held=1)
        put_away(lanes, "eu1")
        delays = []
        for seconds in (0, 8, 32, 200, 100_000):
            time.pass_time(seconds)
            lanes._lanes["eu1"].breaker._probing = True  # no probe is lacking
            refused = lanes.offer("eu1", Piece("late"))
            assert refused is not None
            delays.append(refused.after.total_seconds())
        share = 0.5 + chance / 2
        assert delays == pytest.approx([1, 8 / 3 * share, 40 / 3 * share, 60 * share, 60 * share], rel=1e-3)


def test_a_healthy_shard_takes_everything_while_others_are_away() -> None:
    """Only items for shards that are away are counted."""
    lanes = lanes_of(ManualTime(), held=1)
    put_away(lanes, "eu1")
    fill(lanes, "eu2", *(str(number) for number in range(50)))

    assert lanes.waiting() == 51


def test_shards_that_are_away_share_the_places() -> None:
    """One that has been away for days does not hold them all."""
    lanes = lanes_of(ManualTime(), held=4)
    put_away(lanes, "eu1", "old")
    fill(lanes, "eu1", "old 2", "old 3", "old 4")

    assert put_away(lanes, "eu2", "new") == ["old 4"]
    assert [len(lane.queue) for lane in lanes._lanes.values()] == [3, 1]


def test_a_shard_that_is_back_is_found_although_others_fill_the_held_places() -> None:
    """One shard that is down for days must not keep another's short absence from being noticed as over."""
    time = ManualTime()
    lanes = lanes_of(time, held=2)
    put_away(lanes, "eu2", "new")
    time.pass_time(0.6)
    probe = take(lanes)
    end(lanes, probe, Reply.NOT_ASKED)
    put_away(lanes, "eu1", "old")
    fill(lanes, "eu1", "old too")
    assert code_of(lanes, "eu1", "no third one") == "shard_away"
    assert code_of(lanes, "eu2", "probe") is None
    assert code_of(lanes, "eu2", "no second one") == "shard_away"
    taken = take(lanes)
    end(lanes, taken)

    assert (taken.item, lanes.away()) == ("probe", ["eu1"])
    assert code_of(lanes, "eu2", "welcome") is None


def test_nothing_is_prepared_for_a_shard_that_is_away_but_one_probe() -> None:
    """Of several that ask at once one may; the others come again. Its promise ends some time."""
    time = ManualTime(chance=LATEST)
    lanes = lanes_of(time)
    assert lanes.admit("eu1") is None
    put_away(lanes, "eu1")
    early = lanes.admit("eu1")
    time.pass_time(1)
    with_a_probe_waiting = lanes.admit("eu1")
    end(lanes, take(lanes), Reply.NOT_ASKED)
    answers = [lanes.admit("eu1"), lanes.admit("eu1")]
    time.pass_time(30)

    assert [one.code for one in (early, with_a_probe_waiting) if one] == ["shard_away"] * 2
    assert [one and one.code for one in answers] == [None, "shard_away"]
    assert lanes.admit("eu1") is None


def test_what_is_held_for_an_absent_shard_can_be_taken_back() -> None:
    """Not what waits elsewhere, and not what has started meanwhile."""
    time = ManualTime(chance=LATEST)
    lanes = lanes_of(time)
    put_away(lanes, "eu1", "probe")
    fill(lanes, "eu1", "moved", "stays")
    fill(lanes, "eu2", "healthy")
    held = lanes.held_away()
    time.pass_time(1)
    running = {take(lanes).item, take(lanes).item}

    assert held == ["probe", "moved", "stays"]
    assert running == {"probe", "healthy"}
    assert lanes.withdraw([one for one in held if one != "stays"]) == ["moved"]
    assert (lanes.waiting(), lanes.held_away()) == (1, ["stays"])
