"""Symfony's stamps: read whatever stands there, and written so that its JSON serializer reads them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.stamps import (
    BUS_NAME,
    DELAY,
    ERROR_DETAILS,
    NO_STAMPS,
    REDELIVERY,
    SENT_TO_FAILURE_TRANSPORT,
    STAMP_PREFIX,
    Stamps,
)
from tests.support.wire import JSON_VALUES

ANY_TEXT = st.text(st.characters(), max_size=30)
LISTS = st.lists(st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=3), max_size=12).map(json.dumps)
HOSTILE = (
    ANY_TEXT | JSON_VALUES.map(json.dumps) | LISTS | st.sampled_from(["[" * 100_000, "\ud800", "[1e999]"])
)
NAMES = (
    st.sampled_from([REDELIVERY, DELAY, SENT_TO_FAILURE_TRANSPORT, BUS_NAME, "App\\Stamp\\Mine"]) | ANY_TEXT
)
HEADERS = st.dictionaries(st.builds(STAMP_PREFIX.__add__, NAMES) | ANY_TEXT, HOSTILE, max_size=6)


def stamps_of(**texts: str) -> Stamps:
    """Stamps of Symfony's own, by the last part of their class name."""
    prefix = "X-Message-Stamp-Symfony\\Component\\Messenger\\Stamp\\"
    return Stamps.read({prefix + name: text for name, text in texts.items()})


def test_a_message_that_symfony_retried_and_gave_up_on_says_so() -> None:
    """As Symfony 7.4 writes it; the last stamp of a kind counts."""
    stamps = stamps_of(
        BusNameStamp='[{"busName":"messenger.bus.default"}]',
        DelayStamp='[{"delay":974},{"delay":1941},{"delay":0}]',
        RedeliveryStamp=(
            '[{"retryCount":1,"redeliveredAt":"2026-11-21T19:08:40+00:00"},'
            '{"retryCount":2,"redeliveredAt":"2026-11-21T19:08:42+00:00"}]'
        ),
        SentToFailureTransportStamp='[{"originalReceiverName":"requests"}]',
    )

    assert (stamps.retry_count, stamps.original_receiver, stamps.bus) == (
        2,
        "requests",
        "messenger.bus.default",
    )
    assert [stamp["delay"] for stamp in stamps.all("DelayStamp")] == [974, 1941, 0]
    assert stamps.last(DELAY) == {"delay": 0}


def test_without_stamps_nothing_is_said() -> None:
    """Headers that are no stamps are none."""
    stamps = Stamps.read({"type": "App\\Message\\ImportJob", "Content-Type": "application/json"})

    assert (stamps.retry_count, stamps.original_receiver, stamps.bus, stamps.names) == (0, None, None, ())
    assert stamps.last(REDELIVERY) is None
    assert stamps == NO_STAMPS
    assert not stamps


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        "7",
        '[{"retryCount":"2"}]',
        '[{"retryCount":true}]',
        '[{"retryCount":-1}]',
        '[{"retryCount":2.5}]',
        '[{"retries":2}]',
        "[[]]",
    ],
)
def test_a_stamp_that_cannot_be_read_says_nothing_and_is_kept(text: str) -> None:
    """Others write headers too: none of it is an error, and none is lost."""
    stamps = stamps_of(RedeliveryStamp=text)

    assert stamps.retry_count == 0
    assert stamps.headers() == {STAMP_PREFIX + REDELIVERY: text}


def test_a_single_object_is_read_as_a_list_of_one() -> None:
    """Symfony refuses such a message; what it says is plain all the same."""
    assert stamps_of(RedeliveryStamp='{"retryCount":3}').retry_count == 3


def test_a_class_may_be_named_in_full_or_by_its_last_part() -> None:
    """In full it is that class alone, though another has the same last part."""
    stamps = Stamps.read(
        {STAMP_PREFIX + "App\\DelayStamp": '[{"delay":1}]', STAMP_PREFIX + DELAY: '[{"delay":2}]'}
    )

    assert stamps.last("App\\DelayStamp") == {"delay": 1}
    assert stamps.last(DELAY) == {"delay": 2}
    assert stamps.last("DelayStamp") == {"delay": 1}
    assert stamps.last("Stamp") is None


def test_adding_leaves_what_was_there_as_it_is() -> None:
    """A stamp of a class that nobody here knows goes on; so does the value that was added to."""
    before = stamps_of(RedeliveryStamp='[ {"retryCount": 1} ]', Unknown='{"odd": ')
    after = before.adding(REDELIVERY, {"retryCount": 0}).adding(ERROR_DETAILS, {"exceptionMessage": "é"})

    assert after.all(REDELIVERY) == ({"retryCount": 1}, {"retryCount": 0})
    assert after.headers()[STAMP_PREFIX + ERROR_DETAILS] == '[{"exceptionMessage":"\\u00e9"}]'
    assert (before.retry_count, len(before.names), len(after.names)) == (1, 2, 3)
    assert (
        after.headers().items()
        > {**before.headers(), STAMP_PREFIX + REDELIVERY: after.texts[REDELIVERY]}.items()
    )


@pytest.mark.parametrize("name", [REDELIVERY, DELAY])
def test_of_delays_and_redeliveries_the_first_and_the_last_nine_are_kept(name: str) -> None:
    """As Symfony keeps them, so that a message does not grow with each retry."""
    stamps = NO_STAMPS
    for number in range(25):
        stamps = stamps.adding(name, {"number": number})

    assert [stamp["number"] for stamp in stamps.all(name)] == [0, *range(16, 25)]


def test_of_others_all_are_kept() -> None:
    """They are no history."""
    stamps = NO_STAMPS
    for number in range(12):
        stamps = stamps.adding("App\\Stamp\\Mine", {"number": number})

    assert len(stamps.all("Mine")) == 12


def test_the_log_shows_nothing_of_them() -> None:
    """Error details hold messages with values."""
    assert "secret" not in repr(stamps_of(ErrorDetailsStamp='[{"exceptionMessage":"secret"}]'))


@given(HEADERS, NAMES)
def test_no_header_stops_the_reading(headers: dict[str, str], name: str) -> None:
    """Nothing raises, and nothing that is no object comes out."""
    stamps = Stamps.read(headers)

    assert stamps.retry_count >= 0
    assert isinstance(stamps.original_receiver, str | None)
    assert isinstance(stamps.bus, str | None)
    assert all(isinstance(stamp, dict) for stamp in stamps.all(name))


@given(HEADERS)
def test_what_is_written_is_what_was_read(headers: dict[str, str]) -> None:
    """Byte for byte, unreadable ones too; and reading it again changes nothing."""
    stamps = Stamps.read(headers)

    assert stamps.headers() == {name: text for name, text in headers.items() if name.startswith(STAMP_PREFIX)}
    assert Stamps.read(stamps.headers()) == stamps


@given(HEADERS, NAMES, st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=3))
def test_what_is_added_is_the_last_of_its_class(
    headers: dict[str, str], name: str, stamp: dict[str, Any]
) -> None:
    """Whatever stood there; and all else stays."""
    before = Stamps.read(headers)
    after = Stamps.read(before.adding(name, stamp).headers())

    assert after.last(name) == stamp
    assert isinstance(json.loads(after.texts[name]), list)
    others = {other: text for other, text in before.texts.items() if other != name}
    assert {other: text for other, text in after.texts.items() if other != name} == others
