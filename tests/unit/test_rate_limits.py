"""Rate limits: never more than the rate allows in any span, all limits of a part or none of them."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from config.rate_limits import Rate, RateLimits, format_rate, parse_rate
from worker import rate_limits
from worker.rate_limits import Key, Limited

ACME, BETA = Key("partner", "acme"), Key("partner", "beta")
C1, C2 = Key("customer", "c-1"), Key("customer", "c-2")


def limits(**configured: Any) -> rate_limits.RateLimits:
    return rate_limits.RateLimits(RateLimits.model_validate(configured))


class TestTheConfiguration:
    @pytest.mark.parametrize(
        ("text", "rate", "again"),
        [
            ("100/s", Rate(100, timedelta(seconds=1)), "100/s"),
            (" 5 / m ", Rate(5, timedelta(minutes=1)), "5/m"),
            ("20/10s", Rate(20, timedelta(seconds=10)), "20/10s"),
            ("1/1ms", Rate(1, timedelta(milliseconds=1)), "1/ms"),
            ("3/1.5h", Rate(3, timedelta(minutes=90)), "3/90m"),
            ("1000000/d", Rate(1_000_000, timedelta(days=1)), "1000000/d"),
            ("unlimited", None, "unlimited"),
        ],
    )
    def test_a_rate_is_so_many_in_a_time(self, text: str, rate: Rate | None, again: str) -> None:
        """And is written as it is read."""
        assert parse_rate(text) == rate
        assert format_rate(rate) == again
        assert parse_rate(again) == rate

    @pytest.mark.parametrize(
        "wrong",
        ["0/s", "1/0s", "1/2d", "1000001/s", "100", "/s", "100/week", "-1/s", "1/0.1ms", 100, 1.5, True],
    )
    def test_what_is_no_rate_is_refused(self, wrong: Any) -> None:
        """As is a rate that would stop everything."""
        with pytest.raises(ValidationError):
            RateLimits(queue=wrong)

    def test_only_what_is_limited_has_a_key(self) -> None:
        """A name of its own takes the place of the limit of all."""
        some = limits(partner="1/s", partners={"acme": "unlimited"}, customers={"c-1": "1/s"})

        assert some.keys_of("requests", "acme", "c-2") == ()
        assert some.keys_of("requests", "beta", "c-1") == (BETA, C1)
        assert limits(queues={"requests": "1/s"}).keys_of("requests", "a", "b") == (Key("queue", "requests"),)
        assert (some.are_set, limits().are_set) == (True, False)


class TestCounting:
    def test_as_many_as_the_rate_says_go_at_once_and_then_one_after_the_other(self) -> None:
        """Each share of the time lets one go."""
        some = limits(partner="4/s")

        assert [some.take((ACME,), 10.0) for _ in range(4)] == [None] * 4
        assert some.take((ACME,), 10.0) == Limited(ACME, 0.25)
        assert some.take((ACME,), 10.2) == Limited(ACME, 0.05)
        assert some.take((ACME,), 10.25) is None
        assert some.take((ACME,), 10.25) == Limited(ACME, 0.25)

    def test_partners_and_customers_have_a_limit_each(self) -> None:
        """One that is used up says nothing of another."""
        some = limits(partner="1/s", customer="1/s")

        assert [some.take((key,), 10.0) for key in (ACME, BETA, C1, C2)] == [None] * 4

    def test_a_part_is_counted_against_all_of_its_limits_or_none(self) -> None:
        """What one limit refuses uses nothing of the others; the one that keeps it longest is told."""
        some = limits(partner="2/s", customer="1/m")

        assert some.take((ACME, C1), 10.0) is None
        assert some.take((ACME, C1), 10.0) == Limited(C1, 60.0)
        assert some.take((ACME, C2), 10.0) is None
        assert some.take((ACME, C1), 10.0) == Limited(C1, 60.0)
        assert some.take((ACME, C2), 10.0) == Limited(C2, 60.0)
        assert some.take((ACME,), 10.0) == Limited(ACME, 0.5)

    def test_what_did_not_go_after_all_is_not_counted(self) -> None:
        """A shard that is away uses up nothing of the others."""
        some = limits(partner="1/s")

        assert some.take((ACME,), 10.0) is None
        some.give_back((ACME, BETA))
        assert some.take((ACME,), 10.0) is None

    def test_a_changed_limit_counts_on_with_what_was_used(self) -> None:
        """A reload gives nobody the whole rate anew."""
        some = limits(partner="1/m")
        some.take((ACME,), 10.0)
        some.apply(RateLimits(partner=parse_rate("1/h")))

        assert some.take((ACME,), 11.0) is not None

    def test_nothing_is_remembered_of_what_rests(self) -> None:
        """A hundred thousand customers leave no more behind than those of the last moments."""
        some = limits(customer="1/s")
        for number in range(20_000):
            assert some.take((Key("customer", f"c-{number}"),), number / 1000) is None

        assert len(some._used_until_us) <= 2100

    def test_those_that_are_put_off_come_again_one_after_the_other(self) -> None:
        """From the earliest moment on, and never after the latest."""
        some = limits(partner="2/s")

        assert [some.put_off(ACME, 20.0, 21.2) for _ in range(4)] == [20.0, 20.5, 21.0, 21.2]
        assert some.put_off(BETA, 20.0, 21.2) == 20.0
        assert some.put_off(ACME, 30.0, 40.0) == 30.0


@settings(max_examples=100, deadline=None)
@given(
    parts=st.integers(1, 5),
    milliseconds=st.sampled_from([7, 100, 1000, 3333]),
    pauses=st.lists(st.floats(0, 2), min_size=1, max_size=60),
)
def test_no_span_has_more_than_the_rate_allows(parts: int, milliseconds: int, pauses: list[float]) -> None:
    """The whole rate at once, and one more for each share of the time; and whoever waits as told may go."""
    some = limits(partner=f"{parts}/{milliseconds}ms")
    now, went = 1000.0, []
    for pause in pauses:
        now += pause
        limited = some.take((ACME,), now)
        if limited is None:
            went.append(now)
        else:
            assert some.take((ACME,), now + limited.wait_seconds + 0.001) is None
            some.give_back((ACME,))
    share = milliseconds / 1000 / parts
    for first, began in enumerate(went):
        for last in range(first, len(went)):
            assert last - first + 1 <= parts + (went[last] - began + 0.002) / share
