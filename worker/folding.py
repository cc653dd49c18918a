"""The attributes of a message that is sent again: SQS takes ten, so some find their place inside ours."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

import msgspec

from config.headers import OWN_ATTRIBUTE, SYMFONY_ATTRIBUTE, TYPE_HEADER, OwnHeader, write_own_header
from worker.symfony.signing import ALGORITHM_HEADER, SIGNATURE_HEADER
from worker.transports.attributes import from_texts, to_texts
from worker.transports.base import Attribute, Message
from worker.transports.limits import attribute_ok

FOR_SYMFONY: Final = frozenset({TYPE_HEADER, SYMFONY_ATTRIBUTE, SIGNATURE_HEADER, ALGORITHM_HEADER})
"""What Symfony's consumers look for, who do not read our header."""

Replaced = dict[str, tuple[str, str] | None]
"""Attributes by name, with their type, bytes in base64; None where there is none."""


class Folded(NamedTuple):
    """The attributes that stay as they are, and those that go into our own one: strings, and the others."""

    kept: dict[str, Attribute]
    strings: dict[str, str]
    others: dict[str, tuple[str, str]]


def fold(attributes: Mapping[str, Attribute], places: int) -> Folded:
    """Find room for the attributes in this many places.

    What finds none is the smallest, and strings first: readers find those in our own header as well. Last
    of all goes what Symfony has to find.
    """
    items = sorted(attributes.items(), key=_worth)
    folded = items[places:]
    return Folded(
        kept=dict(items[:places]),
        strings={name: str(one.value) for name, one in folded if one.data_type == "String"},
        others={name: to_texts(one) for name, one in folded if one.data_type != "String"},
    )


def unfold(attributes: Mapping[str, Attribute], header: OwnHeader) -> dict[str, Attribute]:
    """A message's attributes as its producer wrote them, without our own.

    Those that were folded are back, plain ones win; and so are those that made room for others.
    """
    strings = {name: Attribute("String", value) for name, value in header.folded.items()}
    others = {name: _attribute(*texts) for name, texts in header.folded_others.items()}
    folded = _allowed({**strings, **others})
    plain = {name: one for name, one in attributes.items() if name != OWN_ATTRIBUTE}
    replaced = {name: _attribute(*texts) for name, texts in header.replaced.items() if texts is not None}
    kept = {name: one for name, one in {**folded, **plain}.items() if name not in header.replaced}
    return {**kept, **_allowed(replaced)}


def replaced_by(others: Mapping[str, Attribute], attributes: Mapping[str, Attribute]) -> Replaced:
    """What has to be kept of the attributes for `unfold` to find them again under these others."""
    changed = [name for name in {**attributes, **others} if others.get(name) != attributes.get(name)]
    return {name: to_texts(attributes[name]) if name in attributes else None for name in changed}


def written(original: Message, header: OwnHeader, places: int, replaced: Replaced | None = None) -> Message:
    """The message with our header, and as many attributes beside it as there are places."""
    folded = fold(original.attributes, places)
    text = write_own_header(
        msgspec.structs.replace(
            header, folded=folded.strings, folded_others=folded.others, replaced=replaced or {}
        )
    )
    attributes = {**folded.kept, OWN_ATTRIBUTE: Attribute("String", text)}
    return replace(original, attributes=attributes)


def _worth(item: tuple[str, Attribute]) -> tuple[bool, bool, int]:
    name, attribute = item
    return name not in FOR_SYMFONY, attribute.data_type == "String", -len(attribute.value)


def _allowed(attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
    # Others can write our header too, and no message may be stopped by what they wrote.
    return {name: one for name, one in attributes.items() if attribute_ok(name, one)}


def _attribute(data_type: str, text: str) -> Attribute:
    try:
        return from_texts(data_type, text)
    except ValueError:
        return Attribute(data_type, "")
