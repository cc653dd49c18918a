"""The attributes of a message that is sent again: SQS takes ten, so some find their place inside ours."""

from collections.abc import Mapping
from typing import NamedTuple

from config.headers import OWN_ATTRIBUTE, OwnHeader
from worker.transports.attributes import from_texts, to_texts
from worker.transports.base import Attribute
from worker.transports.limits import attribute_ok


class Folded(NamedTuple):
    """The attributes that stay as they are, and those that go into our own one: strings, and the others."""

    kept: dict[str, Attribute]
    strings: dict[str, str]
    others: dict[str, tuple[str, str]]


def fold(attributes: Mapping[str, Attribute], places: int) -> Folded:
    """Find room for the attributes in this many places.

    What finds none is the smallest, and strings first: readers find those in our own header as well.
    """
    items = sorted(attributes.items(), key=lambda item: (item[1].data_type == "String", -len(item[1].value)))
    folded = items[places:]
    return Folded(
        kept=dict(items[:places]),
        strings={name: str(one.value) for name, one in folded if one.data_type == "String"},
        others={name: to_texts(one) for name, one in folded if one.data_type != "String"},
    )


def unfold(attributes: Mapping[str, Attribute], header: OwnHeader) -> dict[str, Attribute]:
    """A message's attributes as they were before any was folded, without our own; plain ones win."""
    strings = {name: Attribute("String", value) for name, value in header.folded.items()}
    others = {name: _attribute(*texts) for name, texts in header.folded_others.items()}
    # Others can write our header too, and no message may be stopped by what they wrote.
    folded = {name: one for name, one in {**strings, **others}.items() if attribute_ok(name, one)}
    return {**folded, **{name: one for name, one in attributes.items() if name != OWN_ATTRIBUTE}}


def _attribute(data_type: str, text: str) -> Attribute:
    try:
        return from_texts(data_type, text)
    except ValueError:
        return Attribute(data_type, "")
