"""What one turn takes along of its lane: what waits now, in the lane's own order, and nobody else's share."""

from tests.support.fakes import ManualTime
from tests.support.lanes import Piece, end, fill, lanes_of, put_away, take
from worker.lane import Reply, Taken
from worker.lanes import Lanes


def along(lanes: Lanes[Piece], taken: Taken[Piece], maximum: int = 100, unfit: str = "none") -> list[str]:
    """The pieces that a turn takes along, of those that fit."""
    return [entry.item for entry in lanes.take_along(taken, lambda piece: not piece.endswith(unfit), maximum)]


def test_a_turn_takes_along_what_waits_partner_after_partner() -> None:
    """As they would have been taken one by one; what came along waits no more."""
    lanes = lanes_of()
    fill(lanes, "eu1", "a/1/1", "a/2/2", "a/3/3", "b/4/4", "b/5/5")
    taken = take(lanes)

    assert along(lanes, taken, 3) == ["b/4/4", "a/2/2", "b/5/5"]
    assert lanes.waiting() == 1
    assert end(lanes, taken) == []
    assert take(lanes).item == "a/3/3"


def test_a_partner_s_own_order_is_kept() -> None:
    """Behind one that does not fit, its partner's others stay."""
    lanes = lanes_of()
    fill(lanes, "eu1", "a/1/1", "a/2/odd", "a/3/3", "b/4/4")

    assert along(lanes, take(lanes), unfit="odd") == ["b/4/4"]


def test_other_lanes_keep_theirs() -> None:
    """A turn is on one shard."""
    lanes = lanes_of()
    fill(lanes, "eu1", "a", "b")
    fill(lanes, "eu2", "c")

    assert along(lanes, take(lanes)) == ["b"]


def test_idle_threads_get_their_share() -> None:
    """Nobody waits for a turn that somebody else could begin at once."""
    lanes = lanes_of(limit=4, threads=64)
    fill(lanes, "eu1", *(str(number) for number in range(8)))

    assert [len(along(lanes, take(lanes))) for _ in range(4)] == [1, 1, 1, 1]


def test_busy_threads_take_no_share() -> None:
    """The lane has places, and nobody is there to take them."""
    lanes = lanes_of(limit=4, threads=2)
    fill(lanes, "eu2", "elsewhere")
    take(lanes)
    fill(lanes, "eu1", *(str(number) for number in range(8)))

    assert len(along(lanes, take(lanes))) == 7


def test_a_probe_is_alone() -> None:
    """What is not known to answer gets one question."""
    time = ManualTime()
    lanes = lanes_of(time)
    put_away(lanes, "eu1")
    fill(lanes, "eu1", "a", "b")
    time.pass_time(100)

    assert along(lanes, take(lanes)) == []


def test_what_is_put_back_waits_again() -> None:
    """In its lane, behind the others."""
    lanes = lanes_of()
    fill(lanes, "eu1", "a", "b", "c")
    taken = take(lanes)
    entries = lanes.take_along(taken, lambda _: True, 1)
    lanes.put_back(taken.lane, entries)
    end(lanes, taken, Reply.NOT_ASKED)

    assert [take(lanes).item, lanes.waiting()] == ["c", 1]


def test_what_is_put_back_after_the_close_is_given_back() -> None:
    """It will not run here."""
    lanes = lanes_of()
    fill(lanes, "eu1", "a", "b")
    taken = take(lanes)
    entries = lanes.take_along(taken, lambda _: True, 1)
    lanes.close()

    assert [(piece, deferral.code) for piece, deferral in lanes.put_back(taken.lane, entries)] == [
        ("b", "shutdown")
    ]
