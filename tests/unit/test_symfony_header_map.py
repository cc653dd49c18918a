"""Headers as attributes: by Symfony's rule, and back again without a loss."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.headers import SYMFONY_ATTRIBUTE, read_headers
from worker.symfony.header_map import fold
from worker.transports.base import Attribute
from worker.transports.limits import attribute_ok

STAMP = "X-Message-Stamp-Symfony\\Component\\Messenger\\Stamp\\BusNameStamp"
NAMES = st.text("aZ9_-.\\é :", min_size=1, max_size=12) | st.sampled_from(
    [STAMP, SYMFONY_ATTRIBUTE, "AWS.x", "aws.x", "Amazon.x", "type", "n" * 256, "n" * 257]
)


def attributes_of(headers: dict[str, str]) -> dict[str, str]:
    return {name: str(one.value) for name, one in fold(headers).items()}


def test_what_is_a_legal_attribute_stays_one() -> None:
    """`type` and `Content-Type` stand by themselves, as Symfony writes them."""
    headers = {"type": "App\\Message\\JobResult", "Content-Type": "application/json"}

    assert fold(headers) == {name: Attribute("String", text) for name, text in headers.items()}


@pytest.mark.parametrize(
    "name", [STAMP, ".a", "a.", "a..b", "AWS.a", "Amazon.a", "a b", "n" * 257, SYMFONY_ATTRIBUTE]
)
def test_what_no_queue_takes_stands_in_symfony_s_attribute(name: str) -> None:
    """As a JSON object by name, with the header's text as it is."""
    attributes = attributes_of({name: '[{"busName":"b"}]', "type": "A"})

    assert attributes.keys() == {"type", SYMFONY_ATTRIBUTE}
    assert json.loads(attributes[SYMFONY_ATTRIBUTE]) == {name: '[{"busName":"b"}]'}


def test_without_such_a_header_the_attribute_is_absent() -> None:
    """As it is with Symfony."""
    assert SYMFONY_ATTRIBUTE not in fold({"type": "A"})


@given(st.dictionaries(NAMES, st.text(max_size=20), max_size=12))
def test_headers_are_read_back_as_they_were(headers: dict[str, str]) -> None:
    """Whatever their names and values; and a queue takes every attribute of them."""
    assert read_headers(attributes_of(headers)) == headers
    assert all(attribute_ok(name, one) for name, one in fold(headers).items())
