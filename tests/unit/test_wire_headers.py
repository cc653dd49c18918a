"""The headers of a message: read from whatever others wrote, and written so that every queue takes them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.headers import (
    OWN_ATTRIBUTE,
    SYMFONY_ATTRIBUTE,
    OwnHeader,
    read_headers,
    read_own_header,
    write_own_header,
)
from tests.support.wire import JSON_VALUES

MOMENTS = st.datetimes(timezones=st.just(UTC))
ANY_TEXT = st.text(st.characters())
OWN = st.builds(
    OwnHeader,
    run=st.none() | st.integers(1, 2**31 - 1),
    resends=st.integers(0, 2**31),
    first_sent_at=st.none() | MOMENTS,
    not_before=st.none() | MOMENTS,
    origin=st.none() | st.text(),
    reason=st.none() | st.text(max_size=1000),
    code=st.none() | st.text(),
    attempt=st.none() | st.integers(0, 2**31),
    instance=st.none() | st.text(),
    failed_at=st.none() | MOMENTS,
    answered=st.booleans(),
    retried_at=st.none() | MOMENTS,
    renewed_at=st.none() | MOMENTS,
    folded=st.dictionaries(st.text(), st.text()),
    folded_others=st.dictionaries(st.text(), st.tuples(st.text(), st.text())),
    attributes_key=st.none() | st.text(),
    signature=st.none() | st.text(),
)


@given(OWN)
def test_our_own_header_comes_back(header: OwnHeader) -> None:
    """As ASCII text, which SQS takes whatever stands in it."""
    written = write_own_header(header)
    assert written.isascii()
    assert read_own_header({OWN_ATTRIBUTE: written}) == header


@given(ANY_TEXT)
def test_any_reason_can_be_written(reason: str) -> None:
    """Half characters are replaced and long texts cut, for a dead letter has to leave."""
    written = write_own_header(OwnHeader(reason=reason, code="bad_message"))
    read = read_own_header({OWN_ATTRIBUTE: written})
    assert read.code == "bad_message"
    assert len(read.reason or "") <= 1000


HOSTILE = (
    ANY_TEXT
    | JSON_VALUES.map(json.dumps)
    | st.dictionaries(st.sampled_from(OwnHeader.__struct_fields__), JSON_VALUES).map(json.dumps)
    | st.sampled_from(["[" * 100_000, '{"run": 1e999}', '{"run": ' + "9" * 5000 + "}", "\ud800", ""])
)


@given(st.dictionaries(st.sampled_from([OWN_ATTRIBUTE, SYMFONY_ATTRIBUTE, "type"]) | ANY_TEXT, HOSTILE))
def test_no_header_stops_a_message(attributes: dict[str, str]) -> None:
    """Others can write attributes too: what cannot be read is as if it were not there."""
    headers = read_headers(attributes)
    assert all(isinstance(value, str) for value in headers.values())
    own = read_own_header(attributes)
    for moment in (own.first_sent_at, own.not_before, own.failed_at):
        assert moment is None or moment <= datetime.max.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "fields", [{"run": 0}, {"run": 2**31}, {"run": "1"}, {"attempt": -1}, {"failed_at": "now"}]
)
def test_a_header_that_is_not_ours_is_empty(fields: dict[str, Any]) -> None:
    """A run that no job can have is no run: the body's counts."""
    assert read_own_header({OWN_ATTRIBUTE: json.dumps(fields)}) == OwnHeader()


def test_a_time_without_a_zone_is_utc() -> None:
    """It can be compared with every other time."""
    written = '{"first_sent_at": "2026-11-21T10:00:00", "failed_at": "2026-11-21T10:00:00+01:00"}'
    own = read_own_header({OWN_ATTRIBUTE: written})
    assert own.first_sent_at == datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert own.failed_at == datetime(2026, 11, 21, 9, tzinfo=UTC)


def test_folded_headers_are_read_and_plain_ones_win() -> None:
    """Symfony folds what SQS's attribute names do not allow, we what goes beyond ten."""
    attributes = {
        SYMFONY_ATTRIBUTE: json.dumps({"type": "folded", "X-Message-Stamp-A\\B": "[]", "number": 1}),
        OWN_ATTRIBUTE: write_own_header(OwnHeader(folded={"eleventh": "11", "plain": "ours"})),
        "type": "plain",
        "plain": "plain",
    }
    headers = read_headers(attributes)
    assert headers["type"] == headers["plain"] == "plain"
    assert headers["X-Message-Stamp-A\\B"] == "[]"
    assert headers["eleventh"] == "11"
    assert "number" not in headers
    assert SYMFONY_ATTRIBUTE not in headers
