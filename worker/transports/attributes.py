"""A message's attributes as one JSON text, for queues that have no attributes of their own."""

from base64 import b64decode, b64encode
from collections.abc import Mapping

import msgspec

from worker.transports.base import Attribute


def encode_attributes(attributes: Mapping[str, Attribute]) -> str:
    """The attributes as JSON; bytes in base64, told apart by the type `Binary`."""
    return msgspec.json.encode(
        {name: (attribute.data_type, _text(attribute.value)) for name, attribute in attributes.items()}
    ).decode()


def decode_attributes(text: str) -> dict[str, Attribute]:
    """The attributes in a text that `encode_attributes` made."""
    pairs = msgspec.json.decode(text, type=dict[str, tuple[str, str]])
    return {
        name: Attribute(data_type, _value(data_type, value)) for name, (data_type, value) in pairs.items()
    }


def _text(value: str | bytes) -> str:
    return b64encode(value).decode() if isinstance(value, bytes) else value


def _value(data_type: str, value: str) -> str | bytes:
    return b64decode(value) if data_type.startswith("Binary") else value
