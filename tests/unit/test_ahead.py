"""Blocks that are made ready ahead: in their order, no more than so many, none after the end."""

import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import count

import pytest

from handlers.ahead import made_ahead


def test_what_is_ready_first_still_comes_in_its_place() -> None:
    """The first is made only after the second one was."""
    second_is_made = threading.Event()

    def make(number: int) -> str:
        if number == 1:
            assert second_is_made.wait(30)
        else:
            second_is_made.set()
        return f"made {number}"

    assert list(made_ahead(iter([1, 2, 3]), make, 2)) == ["made 1", "made 2", "made 3"]


@pytest.mark.parametrize("ahead", [1, 2])
def test_no_more_are_taken_than_may_be_ahead(ahead: int) -> None:
    """Memory does not grow with the file."""
    taken = count()
    used = 0

    def items() -> Iterator[int]:
        for number in range(20):
            assert next(taken) <= used + ahead
            yield number

    for used, made in enumerate(made_ahead(items(), str, ahead), start=1):
        assert made == str(used - 1)

    assert used == 20


def test_a_failure_comes_in_its_place() -> None:
    """What was made before it is used first, whether taking or making failed."""

    def items() -> Iterator[int]:
        yield 4
        yield 2
        raise EOFError

    coming = made_ahead(items(), lambda number: 8 // number, 2)
    assert [next(coming), next(coming)] == [2, 4]
    with pytest.raises(EOFError):
        next(coming)

    broken = made_ahead(iter([4, 0, 2]), lambda number: 8 // number, 2)
    assert next(broken) == 2
    with pytest.raises(ZeroDivisionError):
        next(broken)


def test_nothing_is_taken_any_more_once_it_is_closed() -> None:
    """The file may be closed then."""
    is_closed = False

    def items() -> Iterator[int]:
        for number in count(1):
            assert not is_closed
            yield number

    with closing(made_ahead(items(), str, 2)) as coming:
        assert next(coming) == "1"
    is_closed = True

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("shardworker-blocks")]
