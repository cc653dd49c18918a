"""The headers of a message: String attributes, Symfony's folded ones, and ours in one attribute of JSON."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

OWN_ATTRIBUTE: Final = "Shardworker"
SYMFONY_ATTRIBUTE: Final = "X-Symfony-Messenger"
TYPE_HEADER: Final = "type"


class OwnHeader(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What this worker writes on a message that it sends again or to the failure queue."""

    run: int | None = None
    resends: int = 0
    first_sent_at: datetime | None = None
    origin: str | None = None
    reason: str | None = None
    code: str | None = None
    attempt: int | None = None
    instance: str | None = None
    failed_at: datetime | None = None


def read_headers(attributes: Mapping[str, str]) -> dict[str, str]:
    """The headers in a message's String attributes; Symfony's folded headers first, plain ones win."""
    folded = _folded(attributes.get(SYMFONY_ATTRIBUTE, ""))
    return {**folded, **{name: value for name, value in attributes.items() if name != SYMFONY_ATTRIBUTE}}


def read_own_header(attributes: Mapping[str, str]) -> OwnHeader:
    """Our own header; an empty one where it is absent or unreadable, since others can write attributes too."""
    try:
        return msgspec.json.decode(attributes.get(OWN_ATTRIBUTE, "{}"), type=OwnHeader)
    except (msgspec.DecodeError, RecursionError):
        return OwnHeader()


def write_own_header(header: OwnHeader) -> str:
    """Our own header as the text of its attribute."""
    return msgspec.json.encode(header).decode()


def _folded(text: str) -> dict[str, str]:
    try:
        value: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    return {name: header for name, header in value.items() if isinstance(header, str)}
