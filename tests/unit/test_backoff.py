"""Delays: they grow, they have an end, and chance stays within its bounds."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.backoff import ceiling, full_jitter, half_jitter

BASE = timedelta(seconds=2)
MAXIMUM = timedelta(minutes=15)
tries = st.integers(min_value=0, max_value=100_000)
chances = st.floats(min_value=0, max_value=1, exclude_max=True)
delays = st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(days=1))


@pytest.mark.parametrize(
    ("number", "seconds"), [(0, 2), (1, 2), (2, 4), (3, 8), (9, 512), (10, 900), (11, 900), (10_000, 900)]
)
def test_the_ceiling_doubles_with_each_try_up_to_the_maximum(number: int, seconds: int) -> None:
    """The first try has the base; a count without end does not overflow."""
    assert ceiling(number, BASE, MAXIMUM) == timedelta(seconds=seconds)


@given(tries, delays, delays)
def test_the_ceiling_never_shrinks_and_never_passes_the_maximum(
    number: int, base: timedelta, maximum: timedelta
) -> None:
    """Whatever the base, even one above the maximum."""
    assert ceiling(number, base, maximum) <= ceiling(number + 1, base, maximum) <= maximum


@given(tries, chances)
def test_full_jitter_lies_between_nothing_and_the_ceiling(number: int, chance: float) -> None:
    """Many that fail together come back apart."""
    assert timedelta() <= full_jitter(number, BASE, MAXIMUM, chance) <= ceiling(number, BASE, MAXIMUM)


@given(tries, chances)
def test_half_jitter_is_at_least_half_of_the_ceiling(number: int, chance: float) -> None:
    """A wait that must really grow does."""
    top = ceiling(number, BASE, MAXIMUM)

    assert top / 2 <= half_jitter(number, BASE, MAXIMUM, chance) <= top
