"""The moments of a lease: when it is renewed, and when tried again, as pure functions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.leases import renewal_moment, retry_moment

LEASE_SECONDS = 60.0

moments = st.floats(min_value=0, max_value=1e6)
lengths = st.floats(min_value=1, max_value=43_200)


@given(moments, lengths, st.floats(min_value=0.1, max_value=0.5))
def test_a_lease_is_renewed_so_long_after_it_was_begun(
    begun_at: float, lease_seconds: float, share: float
) -> None:
    """However long it is."""
    renewal_seconds = lease_seconds * share
    due_at = renewal_moment(begun_at + lease_seconds, lease_seconds, renewal_seconds)

    assert due_at == pytest.approx(begun_at + renewal_seconds)


@given(moments, st.floats(min_value=0.001, max_value=43_200))
def test_a_failed_renewal_is_tried_again_soon_and_not_after_the_end(now: float, left: float) -> None:
    """At the end it is known to be lost; before, there is always another try while there is time for it."""
    moment = retry_moment(now, now + left)

    assert now < moment <= min(now + left, now + 5) + 1e-9
    assert moment < now + left or left <= 0.2 + 1e-9


def test_tries_do_not_pile_up_towards_the_end() -> None:
    """A queue that is away all the time is asked some twenty times a lease, not thousands of times."""
    now, tries = LEASE_SECONDS / 2, 0
    while now < LEASE_SECONDS:
        now = retry_moment(now, LEASE_SECONDS)
        tries += 1

    assert tries < 30
