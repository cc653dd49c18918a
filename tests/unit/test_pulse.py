"""Whether a thread moves is told by its pulse: who waits is alive, who takes longer than it may hangs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from structlog.typing import EventDict

from worker.events import EVENTS, unknown_fields
from worker.pulse import Doing, Pulse, Step, bind, doing, move, waiting
from worker.watch import Watch


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The moment."""
        return self.now


class Watched:
    """This thread with a pulse, and who watches over it."""

    def __init__(self) -> None:
        self.clock = Hand()
        self.pulse = Pulse(self.clock)
        bind(self.pulse)
        self.watch = Watch(lambda: [(threading.current_thread(), self.pulse)], self.clock)

    def moves_after(self, seconds: float) -> bool:
        """Whether it moves when so much time has passed."""
        self.clock.now += seconds
        return self.watch.all_move()


@pytest.fixture
def watched() -> Iterator[Watched]:
    yield Watched()
    bind(Pulse(Hand()))


@contextmanager
def lines() -> Iterator[list[EventDict]]:
    """The lines that are written inside; each is as the log's list says."""
    with capture_logs() as captured:
        yield captured
    for line in captured:
        assert line["event"] in EVENTS
        assert unknown_fields(line["event"], frozenset(line) - {"log_level"}) == set()


class TestSteps:
    def test_a_thread_that_waits_for_work_is_alive(self, watched: Watched) -> None:
        """However long there is none: an idle worker hangs in nothing."""
        assert watched.moves_after(1_000_000)

    def test_a_step_may_take_its_time_and_no_longer(self, watched: Watched) -> None:
        """A long poll that hears nothing is no hang until its own end has passed."""
        with doing("receives", 80):
            assert watched.moves_after(80)
            assert not watched.moves_after(0.1)
        assert watched.moves_after(1_000_000)

    def test_a_step_inside_another_has_its_own_time(self, watched: Watched) -> None:
        """A handler may take longer than the statements around it, which count from its end anew."""
        with doing("runs a part", 10):
            with doing("runs a handler", 600):
                assert watched.moves_after(600)
            assert watched.moves_after(10)
            assert not watched.moves_after(0.1)

    def test_progress_gives_a_step_its_time_anew(self, watched: Watched) -> None:
        """Attachments that come in slowly are no hang."""
        with doing("prepares", 300):
            for _ in range(10):
                assert watched.moves_after(299)
                move()
            assert not watched.moves_after(301)

    def test_a_wait_inside_a_step_may_take_for_ever(self, watched: Watched) -> None:
        """Whom it waits for is judged by itself."""
        with doing("takes a turn", 10), waiting("waits for a part that runs alone"):
            assert watched.moves_after(1_000_000)

    def test_a_step_ends_when_it_raises(self, watched: Watched) -> None:
        """Its thread waits again."""
        with pytest.raises(OSError, match="away"), doing("receives", 10):
            raise OSError("away")
        assert watched.moves_after(1_000_000)

    def test_a_thread_without_a_watch_may_do_the_same(self) -> None:
        """A command, or a test, runs the same code."""
        seen: list[str] = []

        def body() -> None:
            with doing("prepares", 1):
                move()
                seen.append("done")

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        assert seen == ["done"]

    @given(
        limits=st.lists(st.floats(1, 1000), min_size=1, max_size=6),
        spent=st.lists(st.floats(0, 2000), min_size=1, max_size=6),
    )
    def test_only_the_innermost_step_is_judged(self, limits: list[float], spent: list[float]) -> None:
        """Whatever lies around it, and whenever that began: its own time is what counts."""
        clock = Hand()
        pulse = Pulse(clock)
        steps: list[Doing] = []
        for limit, seconds in zip(limits, spent, strict=False):
            steps.append(Doing(pulse, Step("deeper", clock(), clock(), limit)))
            steps[-1].__enter__()
            clock.now += seconds
            assert pulse.step.hangs(clock()) == (clock() > pulse.step.since + limit)
        for step in reversed(steps):
            step.__exit__(None, None, None)
            assert not pulse.step.hangs(clock())
        assert pulse.step.doing == "waits"


class TestReports:
    def test_who_hangs_is_reported_once_with_what_it_does_and_where(self, watched: Watched) -> None:
        """By name, job and customer, with the stack of that thread: the handler's own lines are in it."""
        with doing("runs a handler", 10, job="01", customer="c-1", shard="eu1"), lines() as written:
            watched.moves_after(11)
            watched.moves_after(5)
        (line,) = written
        assert (line["event"], line["thread"]) == ("worker.thread_hangs", threading.current_thread().name)
        assert (line["doing"], line["job"], line["customer"]) == ("runs a handler", "01", "c-1")
        assert (line["lasting_ms"], line["limit_ms"]) == (11_000, 10_000)
        assert "test_who_hangs_is_reported_once" in line["stack"]
        assert watched.watch.hanging == [threading.current_thread().name]

    def test_the_next_hang_of_the_same_thread_is_another_one(self, watched: Watched) -> None:
        """And that it moved in between is told."""
        with lines() as written:
            for _ in range(2):
                with doing("receives", 10):
                    watched.moves_after(11)
                watched.moves_after(0)
        events = [line["event"] for line in written]
        assert events == ["worker.thread_hangs", "worker.thread_moves"] * 2

    def test_two_hangs_between_two_looks_are_two(self, watched: Watched) -> None:
        """What hangs at the second look is not what hung at the first."""
        with lines() as written:
            for _ in range(2):
                with doing("receives", 10):
                    watched.moves_after(11)
        assert [line["event"] for line in written] == ["worker.thread_hangs"] * 2

    def test_each_thread_has_a_line_when_asked(self, watched: Watched) -> None:
        """Those without a pulse too; who is busy with its job."""
        release = threading.Event()
        other = threading.Thread(target=release.wait, name="a library's", daemon=True)
        other.start()
        with doing("runs a handler", 10, job="01", customer="c-1"), lines() as written:
            watched.watch.log_all()
        release.set()
        by_name = {line["thread"]: line for line in written}
        assert by_name[threading.current_thread().name]["job"] == "01"
        assert "doing" not in by_name["a library's"]
        assert "threading.py" in by_name["a library's"]["stack"]
