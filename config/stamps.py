"""Symfony's stamps: what its headers say of a message beside the body; read only when somebody asks."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

STAMP_PREFIX: Final = "X-Message-Stamp-"
NAMESPACE: Final = "Symfony\\Component\\Messenger\\Stamp\\"
BUS_NAME: Final = NAMESPACE + "BusNameStamp"
DELAY: Final = NAMESPACE + "DelayStamp"
ERROR_DETAILS: Final = NAMESPACE + "ErrorDetailsStamp"
REDELIVERY: Final = NAMESPACE + "RedeliveryStamp"
SENT_TO_FAILURE_TRANSPORT: Final = NAMESPACE + "SentToFailureTransportStamp"
TRANSPORT_MESSAGE_ID: Final = NAMESPACE + "TransportMessageIdStamp"

HISTORY_MAXIMUM: Final = 10
WITH_HISTORY: Final = frozenset({DELAY, REDELIVERY})
UNREADABLE: Final = (msgspec.DecodeError, RecursionError, UnicodeError)


@dataclass(frozen=True, slots=True)
class Stamps:
    """The stamps of a message, by the class name of each; in falsehood there are none.

    They are kept as they came: what nobody can read, or what is of no class known here, goes on unchanged
    where the message is sent again.
    """

    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By class name the JSON text of each header."""

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> "Stamps":
        """The stamps among a message's headers; never raises, whatever they hold."""
        return cls(
            {
                name.removeprefix(STAMP_PREFIX): text
                for name, text in headers.items()
                if name.startswith(STAMP_PREFIX)
            }
        )

    def __bool__(self) -> bool:
        return bool(self.texts)

    @property
    def names(self) -> tuple[str, ...]:
        """The class names of the stamps that there are."""
        return tuple(self.texts)

    def all(self, name: str) -> tuple[Mapping[str, Any], ...]:
        """The stamps of a class, oldest first; none where there are none that can be read.

        `name` is the class name in full or its last part, `RedeliveryStamp`.
        """
        return tuple(stamp for stamp in _entries(self._text(name)) if isinstance(stamp, dict))

    def last(self, name: str) -> Mapping[str, Any] | None:
        """The newest stamp of a class, which is the one that counts; `name` as in `all`."""
        return next(reversed(self.all(name)), None)

    @property
    def retry_count(self) -> int:
        """How often Symfony has retried the message; none of it is an attempt of ours."""
        return _count_in(self.last(REDELIVERY))

    @property
    def retry_count_maximum(self) -> int:
        """How often it had been retried at most: on a failure transport the count begins anew."""
        return max(map(_count_in, self.all(REDELIVERY)), default=0)

    @property
    def original_receiver(self) -> str | None:
        """The transport that the message failed on, where it was sent to a failure transport."""
        return _text_in(self.last(SENT_TO_FAILURE_TRANSPORT), "originalReceiverName")

    @property
    def bus(self) -> str | None:
        """The bus that the message was dispatched on."""
        return _text_in(self.last(BUS_NAME), "busName")

    def adding(self, name: str, stamp: Mapping[str, Any]) -> "Stamps":
        """The stamps with one more of the class `name`, given in full.

        As Symfony does, of delays and redeliveries the first and the last nine are kept. What could not be
        read under that name gives way.
        """
        stamps = [*_entries(self.texts.get(name, "")), stamp]
        if name in WITH_HISTORY and len(stamps) > HISTORY_MAXIMUM:
            stamps = [stamps[0], *stamps[1 - HISTORY_MAXIMUM :]]
        return Stamps({**self.texts, name: json.dumps(stamps, separators=(",", ":"))})

    def headers(self) -> dict[str, str]:
        """The headers that carry the stamps, by name: each the JSON text of a list."""
        return {STAMP_PREFIX + name: text for name, text in self.texts.items()}

    def _text(self, name: str) -> str:
        if name in self.texts:
            return self.texts[name]
        last_part = "\\" + name
        return next((text for full, text in self.texts.items() if full.endswith(last_part)), "")


NO_STAMPS: Final = Stamps()


def _entries(text: str) -> list[Any]:
    """The list in a header; Symfony refuses a message with a single object in its place, we read it."""
    try:
        value = msgspec.json.decode(text)
    except UNREADABLE:
        return []
    return value if isinstance(value, list) else [value]


def _count_in(stamp: Mapping[str, Any] | None) -> int:
    count = (stamp or {}).get("retryCount")
    return count if type(count) is int and count > 0 else 0


def _text_in(stamp: Mapping[str, Any] | None, key: str) -> str | None:
    value = (stamp or {}).get(key)
    return value if isinstance(value, str) else None
