"""Messages of producers who sign them, by the formula of docs/security.md and not by the worker's code."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from config.headers import OWN_ATTRIBUTE
from tests.support.fakes import NOON
from tests.support.symfony_letters import key_file
from worker.transports.base import Attribute, Message

KEY = b"a key of thirty-two bytes or more"
OTHER_KEY = b"another key that is not a short one"


def key_files(directory: Path, *keys: bytes) -> list[str]:
    """The paths of files with these keys in them."""
    return [key_file(directory, key, f"key-{key_id(key)}") for key in keys]


def key_id(key: bytes) -> str:
    """How a signature names its key."""
    return hashlib.sha256(key).hexdigest()[:8]


def signature(
    body: str, key: bytes = KEY, *, renewed_at: str = "", issued_at: datetime = NOON, **texts: Any
) -> str:
    """The field `signature` of a message; its type, run and `expires_at` are the body's, or in `texts`."""
    fields: dict[str, Any] = {"run": 1, "expires_at": None, **json.loads(body), **texts}
    seconds = str(int(issued_at.timestamp()))
    parts = ["shardworker-v1", fields["type"], str(fields["run"]), fields["expires_at"] or "", seconds]
    text = "".join(f"{len(part.encode())}:{part}," for part in [*parts, renewed_at, body])
    code = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return f"v1:{key_id(key)}:{seconds}:{code}"


def attributes(signature: str | None, **header: Any) -> dict[str, Attribute]:
    """Our own attribute with the signature, and whatever else a sender writes there."""
    fields = {**header, **({} if signature is None else {"signature": signature})}
    return {OWN_ATTRIBUTE: Attribute("String", json.dumps(fields))} if fields else {}


def signed(
    fields: Mapping[str, Any], key: bytes = KEY, *, issued_at: datetime = NOON, **header: Any
) -> Message:
    """A message with this job, signed; with more in our header, which its `run` is signed of."""
    body = json.dumps(fields)
    texts = {"run": header["run"]} if "run" in header else {}
    return Message(body, attributes(signature(body, key, issued_at=issued_at, **texts), **header))
