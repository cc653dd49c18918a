"""The splitting of batches, and the limits of messages."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.transports.attributes import decode_attributes, encode_attributes
from worker.transports.base import Attribute, Message
from worker.transports.batches import split
from worker.transports.limits import ATTRIBUTE_NAME, message_fault, message_size
from worker.transports.pacing import LONGEST_PAUSE_SECONDS, SHORTEST_PAUSE_SECONDS, pauses

SIZES = st.lists(st.integers(0, 120), max_size=60)
TEXTS = st.text(max_size=30)
ATTRIBUTES = st.one_of(
    st.builds(Attribute, st.sampled_from(["String", "Number", "String.label"]), TEXTS),
    st.builds(Attribute, st.sampled_from(["Binary", "Binary.png"]), st.binary(max_size=30)),
)


@given(SIZES, st.integers(1, 12), st.integers(1, 200))
def test_the_ranges_cover_every_position_once_and_in_order(sizes: list[int], count: int, size: int) -> None:
    """Nothing is lost, doubled or moved."""
    ranges = split(sizes, count, size)
    assert [position for each in ranges for position in each] == list(range(len(sizes)))
    assert all(ranges)


@given(SIZES, st.integers(1, 12), st.integers(1, 200))
def test_no_range_is_over_a_limit_unless_one_entry_is_by_itself(
    sizes: list[int], count: int, size: int
) -> None:
    """Both limits hold for every request."""
    for each in split(sizes, count, size):
        assert len(each) <= count
        assert len(each) == 1 or sum(sizes[position] for position in each) <= size


@given(SIZES, st.integers(1, 12), st.integers(1, 200))
def test_no_two_neighbours_would_fit_one_request(sizes: list[int], count: int, size: int) -> None:
    """As few requests as the order allows: the first entry of a range did not fit the range before."""
    ranges = split(sizes, count, size)
    for before, after in pairwise(ranges):
        full = len(before) == count
        assert full or sum(sizes[position] for position in before) + sizes[after.start] > size


@given(st.dictionaries(TEXTS, ATTRIBUTES, max_size=10))
def test_attributes_survive_as_text(attributes: dict[str, Attribute]) -> None:
    """What is encoded is decoded to the same."""
    assert decode_attributes(encode_attributes(attributes)) == attributes


def test_a_message_counts_its_bytes_as_sqs_does() -> None:
    """UTF-8 bytes of the body, and of each attribute's name, type and value; not the group."""
    attributes = {"naïve": Attribute("String", "€"), "raw": Attribute("Binary.x", b"\x00\x01")}
    body, first, second = 2, 6 + 6 + 3, 3 + 8 + 2
    assert message_size(Message("é", attributes, group="acme")) == body + first + second


@pytest.mark.parametrize("name", ["AWS.x", "amazon.x", ".x", "x.", "a..b", "", "a b", "x" * 257, "é", "x\n"])
def test_an_attribute_name_that_sqs_refuses_is_refused(name: str) -> None:
    """The rules are AWS's for message attributes."""
    assert ATTRIBUTE_NAME.fullmatch(name) is None
    fault = message_fault(Message("a", {name: Attribute("String", "v")}))
    assert fault is not None
    assert fault.final


@pytest.mark.parametrize("name", ["type", "X-Symfony-Messenger", "a.b", "AWSTrace", "_", "x" * 256])
def test_an_attribute_name_that_sqs_takes_is_taken(name: str) -> None:
    """Reserved are the prefixes with their dot only."""
    assert message_fault(Message("a", {name: Attribute("String", "v")})) is None


@pytest.mark.parametrize(
    "attribute",
    [
        Attribute("String", ""),
        Attribute("Binary", "text"),
        Attribute("String", b"bytes"),
        Attribute("Boolean", "true"),
        Attribute("String.", "v"),
        Attribute("String", "\x01"),
    ],
)
def test_an_attribute_that_sqs_refuses_is_a_final_fault(attribute: Attribute) -> None:
    """And its value is not in the message: it may be a secret."""
    fault = message_fault(Message("a", {"name": attribute}))
    assert fault is not None
    assert fault.final
    assert "bytes" not in fault.message


@pytest.mark.parametrize("group", ["", "a b", "x" * 129, "é"])
def test_a_group_that_sqs_refuses_is_a_final_fault(group: str) -> None:
    """A group is 1 to 128 printable ASCII characters."""
    fault = message_fault(Message("a", group=group))
    assert fault is not None
    assert fault.final


@given(st.floats(0, 60))
def test_the_pauses_of_a_wait_add_up_to_it(seconds: float) -> None:
    """They begin short, never shrink but for the last, and never exceed the longest."""
    wait = timedelta(seconds=seconds)
    found = list(pauses(wait))
    assert sum(found) == pytest.approx(wait.total_seconds(), abs=1e-6)
    assert all(pause <= LONGEST_PAUSE_SECONDS for pause in found)
    assert found[:-1] == sorted(found[:-1])
    assert all(pause <= SHORTEST_PAUSE_SECONDS for pause in found[:1])
