"""The gate: many together, or one alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.gate import Gate

PATIENCE_SECONDS = 60.0
AT_ONCE = 0.0


def test_many_pass_together() -> None:
    """They are inside at the same time."""
    gate = Gate()
    everybody = threading.Barrier(4, timeout=PATIENCE_SECONDS)

    def pass_through() -> int:
        with gate.together():
            return everybody.wait()

    with ThreadPoolExecutor(4) as threads:
        places = [threads.submit(pass_through) for _ in range(4)]

        assert {place.result() for place in places} == {0, 1, 2, 3}


def test_one_passes_alone_when_nobody_is_inside() -> None:
    """At once, and again and again."""
    gate = Gate()
    for _ in range(3):
        with gate.alone(AT_ONCE) as entered:
            assert entered


def test_whoever_wants_to_be_alone_gives_up_after_its_patience() -> None:
    """The others stayed; it goes on without, and keeps nobody out."""
    gate = Gate()
    with gate.together():
        with gate.alone(AT_ONCE) as entered:
            assert not entered
        with gate.together():
            pass


def test_nobody_enters_while_one_is_alone() -> None:
    """Neither together nor alone; afterwards everybody."""
    gate = Gate()
    entered = threading.Event()

    def pass_through() -> None:
        with gate.together():
            entered.set()

    with ThreadPoolExecutor(1) as threads:
        with gate.alone(AT_ONCE):
            with gate.alone(AT_ONCE) as second:
                assert not second
            waiting = threads.submit(pass_through)
            assert not entered.wait(0.05)
        waiting.result(PATIENCE_SECONDS)

    assert entered.is_set()


def test_one_that_waits_to_be_alone_is_not_overtaken() -> None:
    """It enters when those inside have left, however many want to follow."""
    gate = Gate()
    order: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with gate.together():
            inside.set()
            leave.wait(PATIENCE_SECONDS)
            order.append("held")

    def alone() -> None:
        with gate.alone(PATIENCE_SECONDS) as entered:
            order.append("alone" if entered else "gave up")

    def follow() -> None:
        with gate.together():
            order.append("follower")

    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(hold)
        assert inside.wait(PATIENCE_SECONDS)
        second = threads.submit(alone)
        while not gate._alone_wanted:
            threading.Event().wait(0.001)
        third = threads.submit(follow)
        leave.set()
        for one in (first, second, third):
            one.result(PATIENCE_SECONDS)

    assert order == ["held", "alone", "follower"]


def test_an_error_inside_lets_the_others_in() -> None:
    """A part that fails keeps nobody out."""
    gate = Gate()
    for enter in (gate.together, lambda: gate.alone(AT_ONCE)):
        with pytest.raises(LookupError), enter():
            raise LookupError
    with gate.alone(AT_ONCE) as entered:
        assert entered


@pytest.mark.parametrize("how", ["together", "alone"])
def test_a_thread_that_does_not_come_back_keeps_nobody_out(how: str) -> None:
    """Whether it passed with others or alone: put out by its number, it is as if it had left."""
    gate = Gate()
    inside, come_back = threading.Event(), threading.Event()

    def hang() -> None:
        with gate.together() if how == "together" else gate.alone(AT_ONCE):
            inside.set()
            assert come_back.wait(PATIENCE_SECONDS)

    thread = threading.Thread(target=hang)
    thread.start()
    assert inside.wait(PATIENCE_SECONDS)
    gate.leave(thread.ident or 0)
    with gate.alone(AT_ONCE) as entered:
        assert entered
    come_back.set()
    thread.join(PATIENCE_SECONDS)
    with gate.together(), gate.alone(AT_ONCE) as entered:
        assert not entered
    with gate.alone(AT_ONCE) as entered:
        assert entered
