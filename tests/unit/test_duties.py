"""Duties: done when they are due, and not made up for when they were missed."""

from collections.abc import Callable
from datetime import timedelta

from worker.duties import Duties


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """What it shows, in seconds."""
        return self.now


def duties(hand: Hand, **intervals_seconds: float) -> tuple[Duties, list[str]]:
    """Duties by name with their intervals, and what was done, in order."""
    done: list[str] = []

    def noting(name: str) -> Callable[[], None]:
        return lambda: done.append(name)

    pairs = [(timedelta(seconds=seconds), noting(name)) for name, seconds in intervals_seconds.items()]
    return Duties(pairs, hand), done


def test_nothing_is_done_before_its_first_interval_is_over() -> None:
    """At the start nothing is due; the moment of the first that will be is told."""
    hand = Hand()
    some, done = duties(hand, often=10, seldom=60)
    assert some.do_due() == 110
    assert done == []


def test_each_is_done_at_its_own_interval() -> None:
    """Only what is due is done, and the next moment is the nearest of all."""
    hand = Hand()
    some, done = duties(hand, often=10, seldom=25)
    for hand.now in (110.0, 120.0, 125.0):
        some.do_due()
    assert done == ["often", "often", "seldom"]
    assert some.do_due() == 130


def test_what_was_missed_is_done_once() -> None:
    """After a long sleep of the machine each duty is done once, then at its interval again."""
    hand = Hand()
    some, done = duties(hand, often=10)
    hand.now = 1000.0
    assert some.do_due() == 1010
    assert done == ["often"]


def test_a_wait_does_what_is_due_until_an_event_comes() -> None:
    """It never sleeps over a duty, nor past its own end."""
    hand = Hand()
    some, done = duties(hand, often=10)
    waits: list[float] = []

    def next_event(seconds: float) -> str | None:
        waits.append(seconds)
        hand.now += seconds
        return "limit" if len(waits) == 3 else None

    assert some.wait(next_event, until=1000.0) == "limit"
    assert (waits, done) == ([10.0, 10.0, 10.0], ["often", "often"])


def test_a_wait_ends_at_its_moment() -> None:
    """None says that no event came; a moment that is past is no wait."""
    hand = Hand()
    some, _ = duties(hand, often=10)
    waits: list[float] = []

    def next_event(seconds: float) -> str | None:
        waits.append(seconds)
        hand.now += seconds
        return None

    assert some.wait(next_event, until=104.0) is None
    assert some.wait(next_event, until=104.0) is None
    assert waits == [4.0]
