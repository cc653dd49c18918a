"""Recognises bodies that PHP's serializer wrote, by their first characters; nothing of them is evaluated."""

import base64
import re
from typing import Final

SERIALIZED: Final = re.compile(r'\s*[OaCE]:\d+:\\*["{]')
HEAD_CHARACTERS: Final = 64
"""So many of a body's are looked at: a multiple of four, which is what base64 counts in."""

REASON: Final = (
    "The body was written by PHP's serializer, Symfony's default, and is never evaluated. In the application "
    "that sends it, set framework.messenger.serializer.default_serializer, or the transport's serializer, to "
    "messenger.transport.symfony_serializer; then dispatch the message again."
)


def is_php_serialized(body: str) -> bool:
    """Whether the body begins as `serialize` begins an object or array, with slashes added or in base64.

    To be asked of a body that is no JSON object: none of those begins so.
    """
    return any(SERIALIZED.match(text) for text in (body, _head_of_base64(body)))


def _head_of_base64(body: str) -> str:
    head = body[: 2 * HEAD_CHARACTERS].lstrip()[:HEAD_CHARACTERS]
    try:
        return base64.b64decode(head[: len(head) // 4 * 4], validate=True).decode("latin-1")
    except ValueError:
        return ""
