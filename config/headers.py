"""The headers of a message: String attributes, Symfony's folded ones, and ours in one attribute of JSON."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from config.job import Run
from config.text import clip

OWN_ATTRIBUTE: Final = "Shardworker"
SYMFONY_ATTRIBUTE: Final = "X-Symfony-Messenger"
TYPE_HEADER: Final = "type"
REASON_CHARACTERS_MAXIMUM: Final = 1000
TIMES: Final = ("first_sent_at", "not_before", "retried_at", "renewed_at", "failed_at")
UNREADABLE: Final = (msgspec.DecodeError, RecursionError, UnicodeError)

Count = Annotated[int, Meta(ge=0)]


class OwnHeader(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What this worker writes on a message that it sends again or to the failure queue.

    Times are aware. `not_before`: the message is not run before that moment. `answered`: a final result of
    this run was sent beside the dead letter. `retried_at`: the last deliberate retry. `renewed_at`: from when
    an operator lets the job's age be counted. `deaths`: how many processes died with a suspected dry run.

    `folded` keeps the producer's attributes for which SQS's ten have no room beside ours; `folded_others`
    those that are no strings, with their type, bytes in base64. Where they are too large for a message, all
    lie in the bucket for claim checks, under `attributes_key`. `replaced` keeps those whose place is taken by
    others that are for Symfony's consumers; None: there was none of that name. `signature` is the one field
    that producers write, too.
    """

    run: Run | None = None
    resends: Count = 0
    first_sent_at: datetime | None = None
    not_before: datetime | None = None
    retried_at: datetime | None = None
    renewed_at: datetime | None = None
    origin: str | None = None
    reason: str | None = None
    code: str | None = None
    attempt: Count | None = None
    instance: str | None = None
    failed_at: datetime | None = None
    answered: bool = False
    deaths: Count | None = None
    folded: dict[str, str] = {}
    folded_others: dict[str, tuple[str, str]] = {}
    replaced: dict[str, tuple[str, str] | None] = {}
    attributes_key: str | None = None
    signature: str | None = None


# Made here, before there are threads to meet at the model's first use.
OWN_HEADER: Final = msgspec.json.Decoder(OwnHeader)


def read_headers(attributes: Mapping[str, str]) -> dict[str, str]:
    """The headers in a message's String attributes, with those that were folded into one; plain ones win."""
    return unfolded(attributes, read_own_header(attributes))


def unfolded(attributes: Mapping[str, str], own: OwnHeader) -> dict[str, str]:
    """As `read_headers`, where our own header has been read already."""
    if not own.folded and SYMFONY_ATTRIBUTE not in attributes:
        return dict(attributes)
    strings = {**own.folded, **attributes}
    symfony = _folded_by_symfony(strings.pop(SYMFONY_ATTRIBUTE, ""))
    return {**symfony, **strings}


def read_own_header(attributes: Mapping[str, str]) -> OwnHeader:
    """Our own header; an empty one where it is absent or unreadable, since others can write attributes too.

    A time without a time zone is taken as UTC.
    """
    try:
        header = OWN_HEADER.decode(attributes.get(OWN_ATTRIBUTE, "{}"))
    except UNREADABLE:
        return OwnHeader()
    return msgspec.structs.replace(header, **{name: _aware(getattr(header, name)) for name in TIMES})


def first_sent(header: OwnHeader, sent_at: datetime) -> datetime:
    """When a message that was sent at `sent_at` was sent for the first time: never later, whoever says so."""
    return min(header.first_sent_at or sent_at, sent_at)


def write_own_header(header: OwnHeader) -> str:
    """Our own header as the text of its attribute: ASCII, so that no queue refuses one of its characters."""
    reason = None if header.reason is None else clip(header.reason, REASON_CHARACTERS_MAXIMUM)
    fields = msgspec.to_builtins(msgspec.structs.replace(header, reason=reason))
    return json.dumps(fields, separators=(",", ":"))


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _folded_by_symfony(text: str) -> dict[str, str]:
    try:
        value: Any = msgspec.json.decode(text)
    except UNREADABLE:
        return {}
    if not isinstance(value, dict):
        return {}
    return {name: header for name, header in value.items() if isinstance(header, str)}
