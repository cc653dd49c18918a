"""Parts that come and time that passes, at random: none is lost or sent twice, and no limit is passed."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.limited import Limits

PARTNERS = ("acme", "beta", "gamma")
SECONDS_LEFT_MAXIMUM = 100


class Model:
    """Offers parts to limits that use nothing yet, and notes for each limit when a part went."""

    def __init__(self, limits: Limits, numbers: Iterator[int]) -> None:
        self.limits = limits.anew(in_hand_max=30, queue="4/s", partner="2/s", customer="1/500ms")
        self.numbers = numbers
        self.limited_by: dict[str, tuple[str, ...]] = {}
        self.put_off: list[str] = []
        self.went: dict[str, list[float]] = defaultdict(list)
        self.noted = 0

    def offer(self, partner: str, customer: str) -> None:
        """A part of a new job comes."""
        job_id = f"{partner}-{next(self.numbers)}"
        self.limited_by[job_id] = ("queue", f"partner {partner}", f"customer {customer}")
        if self.limits.offer(job_id, customer=customer) != [None]:
            self.put_off.append(job_id)
        self.note()

    def pass_time(self, seconds: float) -> None:
        """Time passes, and what may go goes."""
        self.limits.after(seconds)
        self.note()

    def note(self) -> None:
        """Note who went now."""
        for job_id in self.limits.sent[self.noted :]:
            for limit in self.limited_by[job_id]:
                self.went[limit].append(self.limits.time.seconds)
        self.noted = len(self.limits.sent)

    def check_ends(self) -> None:
        """Each part went or came back, once."""
        assert sorted([*self.limits.sent, *self.put_off, *self.limits.returned()]) == sorted(self.limited_by)

    def check_rates(self) -> None:
        """Within any span went no more than each limit allows."""
        allowed = {"queue": (4, 4), "partner": (2, 2), "customer": (1, 2)}
        for limit, moments in self.went.items():
            at_once, in_a_second = allowed[limit.split()[0]]
            for first, began in enumerate(moments):
                spans = [moment - began + 0.002 for moment in moments[first:]]
                assert all(number <= at_once + span * in_a_second for number, span in enumerate(spans, 1))


@pytest.fixture(name="limits", scope="module")
def make_limits(tmp_path_factory: pytest.TempPathFactory) -> Limits:
    return Limits(tmp_path_factory.mktemp("limits"))


@pytest.fixture(name="numbers", scope="module")
def make_numbers() -> Iterator[int]:
    return count()


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(PARTNERS), st.sampled_from(["c-1", "c-2"])) | st.floats(0.01, 3),
        max_size=40,
    )
)
def test_no_part_is_lost_or_sent_twice_and_no_limit_is_passed(
    limits: Limits, numbers: Iterator[int], steps: list[tuple[str, str] | float]
) -> None:
    """And all that waits goes in the end."""
    model = Model(limits, numbers)
    for step in steps:
        if isinstance(step, float):
            model.pass_time(step)
        else:
            model.offer(*step)
    for _ in range(SECONDS_LEFT_MAXIMUM):
        model.pass_time(1)

    assert limits.limited.waiting() == 0
    model.check_ends()
    model.check_rates()
