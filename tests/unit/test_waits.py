"""Waits as pure rules: what is released, what is sent anew, and until when a copy says that it waits."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.transports.limits import RELEASE_DELAY_MAXIMUM, RETENTION_MAXIMUM, VISIBILITY_MAXIMUM
from worker.waits import (
    IN_FLIGHT_MAXIMUM,
    NOT_DUE_DELAY_MAXIMUM,
    QueueFacts,
    due_at,
    must_resend,
    not_due_delay,
    release_delay,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOTHING = timedelta()
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=count) for count in (1, 60, 3600, 86400))
QUIET = QueueFacts(RETENTION_MAXIMUM, 0)
FULL = QueueFacts(RETENTION_MAXIMUM, IN_FLIGHT_MAXIMUM + 1)
SHORT = QueueFacts(HOUR, 0)
FOR_EVER = QueueFacts(None, 0)


@pytest.mark.parametrize(
    ("wait", "age", "held_for", "queue", "resent"),
    [
        (SECOND, NOTHING, NOTHING, QUIET, False),
        (11 * HOUR, NOTHING, NOTHING, QUIET, False),
        (11 * HOUR + SECOND, NOTHING, NOTHING, QUIET, True),
        (2 * DAY, NOTHING, NOTHING, FOR_EVER, True),
        (8 * HOUR, NOTHING, 3 * HOUR, QUIET, False),
        (8 * HOUR, NOTHING, 3 * HOUR + SECOND, QUIET, True),
        (SECOND, 7 * DAY - SECOND, NOTHING, QUIET, False),
        (SECOND, 7 * DAY, NOTHING, QUIET, True),
        (10 * HOUR, 7 * DAY - 9 * HOUR, NOTHING, QUIET, True),
        (SECOND, 1000 * DAY, NOTHING, FOR_EVER, False),
        (29 * MINUTE, NOTHING, NOTHING, SHORT, False),
        (31 * MINUTE, NOTHING, NOTHING, SHORT, True),
        (SECOND, NOTHING, NOTHING, QUIET._replace(in_flight=IN_FLIGHT_MAXIMUM), False),
        (SECOND, NOTHING, NOTHING, FULL, True),
        (NOTHING, 13 * DAY, 11 * HOUR, FULL, False),
    ],
)
def test_what_a_release_cannot_carry_is_sent_anew(
    wait: timedelta, age: timedelta, held_for: timedelta, queue: QueueFacts, *, resent: bool
) -> None:
    """Too long for what SQS hides, too old at its end, too many in flight; never what comes back at once."""
    assert must_resend(wait, age, held_for, queue) is resent


@given(
    wait=st.timedeltas(SECOND, 30 * DAY),
    age=st.timedeltas(NOTHING, RETENTION_MAXIMUM),
    held_for=st.timedeltas(NOTHING, 12 * HOUR),
    retention=st.timedeltas(MINUTE, RETENTION_MAXIMUM),
)
def test_whatever_is_released_comes_back_before_its_queue_forgets_it(
    wait: timedelta, age: timedelta, held_for: timedelta, retention: timedelta
) -> None:
    """And SQS, which counts from the receive, hides it as long as it is asked to."""
    if not must_resend(wait, age, held_for, QueueFacts(retention, 0)):
        assert age + wait <= retention / 2
        assert release_delay(wait, held_for) == wait
        assert held_for + wait <= VISIBILITY_MAXIMUM


@given(wait=st.timedeltas(NOTHING, 30 * DAY), held_for=st.timedeltas(NOTHING, 30 * DAY))
def test_a_release_in_place_of_a_copy_waits_as_long_as_it_can(wait: timedelta, held_for: timedelta) -> None:
    """Never longer than SQS grants, which would leave the message as it is; never less than nothing."""
    delay = release_delay(wait, held_for)
    assert NOTHING <= delay <= wait
    assert delay == wait or held_for + delay == max(RELEASE_DELAY_MAXIMUM, held_for)


@pytest.mark.parametrize(
    ("wait", "moment"),
    [(SECOND, None), (15 * MINUTE, None), (16 * MINUTE, NOW + 16 * MINUTE), (2 * DAY, NOW + 2 * DAY)],
)
def test_a_copy_says_its_moment_where_no_delay_is_long_enough(
    wait: timedelta, moment: datetime | None
) -> None:
    """Fifteen minutes are the longest delay that a message is sent with."""
    assert due_at(wait, NOW) == moment


@pytest.mark.parametrize(
    ("not_before", "delay"),
    [
        (None, None),
        (NOW - SECOND, None),
        (NOW, None),
        (NOW + SECOND, SECOND),
        (NOW + 2 * DAY, NOT_DUE_DELAY_MAXIMUM),
        (datetime.max.replace(tzinfo=UTC), NOT_DUE_DELAY_MAXIMUM),
    ],
)
def test_a_message_waits_until_its_moment_and_no_longer(
    not_before: datetime | None, delay: timedelta | None
) -> None:
    """In pieces that a release carries: such a message is not sent anew for its length alone."""
    assert not_due_delay(not_before, NOW, NOW, 30 * DAY) == delay
    assert delay is None or not must_resend(delay, NOTHING, HOUR, QUIET)


@pytest.mark.parametrize(
    ("age", "delay"), [(29 * DAY, NOT_DUE_DELAY_MAXIMUM), (30 * DAY - SECOND, SECOND), (30 * DAY, None)]
)
def test_a_message_cannot_make_itself_wait_for_ever(age: timedelta, delay: timedelta | None) -> None:
    """Whoever wrote its moment: it is due when it is as old as the longest wait."""
    far = datetime.max.replace(tzinfo=UTC)

    assert not_due_delay(far, NOW - age, NOW, 30 * DAY) == delay
