"""Patterns of texts: exactly the days and the numbers that there are."""

import re
from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.text_patterns import DAY, MOMENT, choice_pattern, decimal_pattern, integer_pattern

YEARS = st.sampled_from([0, 1, 4, 100, 400, 1900, 2000, 2024, 2026, 9999]) | st.integers(0, 9999)
BITS = (8, 16, 24, 32, 64)


def _is(pattern: str, text: str) -> bool:
    return re.fullmatch(f"(?:{pattern})", text) is not None


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


@given(year=YEARS)
def test_every_day_of_a_year_is_one_and_no_other(year: int) -> None:
    """Leap years are known; the year 0, which Python does not have, is none."""
    days = [f"{year:04}-{month:02}-{day:02}" for month in range(14) for day in range(33)]

    assert [day for day in days if _is(DAY, day)] == [day for day in days if _is_day(day)]


@given(moment=st.datetimes(), sign=st.sampled_from("T "), end=st.sampled_from(["", "Z"]))
def test_every_moment_is_one(moment: datetime, sign: str, end: str) -> None:
    """With or without fractions of a second."""
    assert _is(MOMENT, moment.isoformat(sign) + end)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("unsigned", [False, True])
@given(data=st.data())
def test_a_number_is_within_its_bounds(bits: int, data: st.DataObject, *, unsigned: bool) -> None:
    """To the last digit."""
    lowest, highest = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    near = st.sampled_from([lowest, highest]).flatmap(lambda edge: st.integers(edge - 9, edge + 9))
    number = data.draw(near | st.integers(-(10**21), 10**21) | st.integers(lowest, highest))

    assert _is(integer_pattern(lowest, highest), str(number)) == (lowest <= number <= highest)


@pytest.mark.parametrize("text", ["", "-", "+1", "01", "-01", "1.", "1e3", "٣", " 1", "1_0"])
def test_what_readers_of_numbers_differ_on_is_none(text: str) -> None:
    """Python takes some of them, databases others."""
    assert not _is(integer_pattern(-128, 127), text)


def test_decimals_have_so_many_digits_at_most() -> None:
    """Before the point and behind it."""
    assert [
        text for text in ("1", "-12.34", "123", "1.234", "1.", ".5") if _is(decimal_pattern(2, 2), text)
    ] == [
        "1",
        "-12.34",
    ]


def test_choices_are_texts_and_no_patterns() -> None:
    """A point is a point."""
    assert [text for text in ("a.c", "abc", "a") if _is(choice_pattern(["a.c", "a"]), text)] == ["a.c", "a"]
