"""The worker's own signatures, version 1: over a message's body, type, run, `expires_at` and age."""

import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple

from config.headers import TYPE_HEADER, OwnHeader
from config.job import RUN_MAXIMUM

VERSION: Final = "v1"
PURPOSE: Final = f"shardworker-{VERSION}"
FORM: Final = re.compile(VERSION + r":([0-9a-f]{8}):([0-9]{1,11}):([0-9a-f]{64})")
KEY_ID_CHARACTERS: Final = 8
OF_CLASS: Final = "class "
"""Before a class that is signed; no job type has a space, so that none can be taken for a class's name."""


class Key(NamedTuple):
    """A key, and the id by which a signature names it."""

    id: str
    secret: bytes

    @classmethod
    def of(cls, secret: bytes) -> "Key":
        """The key with its id: the beginning of its SHA-256."""
        return cls(sha256(secret).hexdigest()[:KEY_ID_CHARACTERS], secret)


class Content(NamedTuple):
    """What a signature covers of a message, beside the moment from which its age counts.

    `type` is the body's field; where there is a header `type`, that one, as a class. `run` is the one in
    force, `expires_at` the body's field as it is written there; `renewed_at` our header's, empty if none.
    """

    body: str
    type: str
    run: int
    expires_at: str
    renewed_at: str


class Signature(NamedTuple):
    """A signature as it travels: which key made it, from when the message is (Unix time), the HMAC."""

    key_id: str
    issued_at_seconds: int
    code: str

    @property
    def issued_at(self) -> datetime:
        """From when the message is."""
        return datetime.fromtimestamp(self.issued_at_seconds, UTC)

    def is_right(self, content: Content, key: Key) -> bool:
        """Whether the key made it, of this content; in the same time, however much of it is right."""
        return hmac.compare_digest(self.code, _code(content, self.issued_at_seconds, key))

    def __str__(self) -> str:
        """The text of the field `signature`."""
        return f"{VERSION}:{self.key_id}:{self.issued_at_seconds}:{self.code}"


def sign(content: Content, issued_at_seconds: int, key: Key) -> Signature:
    """The signature of a message that is from this moment."""
    return Signature(key.id, issued_at_seconds, _code(content, issued_at_seconds, key))


def read_signature(text: str | None) -> Signature | None:
    """The signature in the field; None where there is none, or what has another form."""
    match = None if text is None else FORM.fullmatch(text)
    return None if match is None else Signature(match[1], int(match[2]), match[3])


def content_of(body: str, headers: Mapping[str, str], own: OwnHeader, fields: Mapping[str, Any]) -> Content:
    """What has to be signed of a message; `fields` are the body's, by the names that a job's have."""
    class_name = headers.get(TYPE_HEADER)
    return Content(
        body,
        _text(fields.get("type")) if class_name is None else OF_CLASS + class_name,
        own.run or run_of(fields),
        _text(fields.get("expires_at")),
        "" if own.renewed_at is None else own.renewed_at.isoformat(),
    )


def run_of(fields: Mapping[str, Any]) -> int:
    """The run in a body; 1 where it says none."""
    run = fields.get("run")
    return run if type(run) is int and 1 <= run <= RUN_MAXIMUM else 1


def signed_bytes(content: Content, issued_at_seconds: int) -> bytes:
    """What the HMAC is made of: each text with its length before it, so that no two contents are alike."""
    texts = (PURPOSE, content.type, str(content.run), content.expires_at, str(issued_at_seconds))
    return b"".join(map(_with_length, (*texts, content.renewed_at, content.body)))


def _code(content: Content, issued_at_seconds: int, key: Key) -> str:
    return hmac.digest(key.secret, signed_bytes(content, issued_at_seconds), "sha256").hex()


def _with_length(text: str) -> bytes:
    # a half of a surrogate pair can come in by an escape in JSON; it must not be able to stop anything
    data = text.encode("utf-8", "surrogatepass")
    return b"%d:%s," % (len(data), data)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
