"""A message's attributes as one JSON text, for queues that have no attributes of their own."""

from base64 import b64decode, b64encode
from collections.abc import Mapping

import msgspec

from worker.transports.base import Attribute


def encode_attributes(attributes: Mapping[str, Attribute]) -> str:
    """The attributes as JSON; bytes in base64, told apart by the type `Binary`."""
    return msgspec.json.encode({name: to_texts(attribute) for name, attribute in attributes.items()}).decode()


def decode_attributes(text: str) -> dict[str, Attribute]:
    """The attributes in a text that `encode_attributes` made."""
    pairs = msgspec.json.decode(text, type=dict[str, tuple[str, str]])
    return {name: from_texts(*texts) for name, texts in pairs.items()}


def to_texts(attribute: Attribute) -> tuple[str, str]:
    """The attribute's type, and its value as text: bytes in base64."""
    value = attribute.value
    return attribute.data_type, b64encode(value).decode() if isinstance(value, bytes) else value


def from_texts(data_type: str, text: str) -> Attribute:
    """The attribute that `to_texts` wrote; raises `ValueError` where bytes are not in base64."""
    return Attribute(data_type, b64decode(text) if data_type.startswith("Binary") else text)
