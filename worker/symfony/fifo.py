"""Symfony's defaults on FIFO queues: the group and the deduplication id of a message that brings none."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Final

from config.headers import TYPE_HEADER, read_headers
from config.stamps import STAMP_PREFIX
from worker.transports.base import Attribute

DEFAULT_GROUP: Final = r"Symfony\Component\Messenger\Bridge\AmazonSqs\Transport\Connection::send"
"""The one group of all messages that a Symfony application sends without an `AmazonSqsFifoStamp`."""

BEYOND_ASCII: Final = re.compile(r"[^\x00-\x7f]+")


def default_deduplication_id(body: str, attributes: Mapping[str, Attribute]) -> str:
    """What Symfony 5.4 to 8.1 would send with this body and these attributes: the same content, the same id.

    Symfony hashes the headers in the order in which its serializer writes them; on the queue they have none.
    The order here is that of its JSON serializer: the type, the stamps, the others.
    """
    texts = {name: one.value for name, one in attributes.items() if one.data_type == "String"}
    headers = read_headers({name: text for name, text in texts.items() if isinstance(text, str)})
    return deduplication_id(body, {name: headers[name] for name in sorted(headers, key=_rank)})


def deduplication_id(body: str, headers: Mapping[str, str]) -> str:
    """The SHA-1, in hex, of PHP's `json_encode(['body' => …, 'headers' => …])`; the headers' order counts."""
    # an empty array of PHP's is a list
    encoded = _php_json({"body": body, "headers": dict(headers) or []})
    return hashlib.sha1(encoded.encode(), usedforsecurity=False).hexdigest()


def _php_json(value: object) -> str:
    """As PHP writes JSON: slashes are escaped, and all beyond ASCII; Python would escape DEL too."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("/", r"\/")
    return BEYOND_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _rank(name: str) -> int:
    if name == TYPE_HEADER:
        return 0
    return 1 if name.startswith(STAMP_PREFIX) else 2
