"""Symfony's signatures, version 2: over a message's body, its class and its stamps."""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from config.headers import TYPE_HEADER
from config.stamps import STAMP_PREFIX

SIGNATURE_HEADER: Final = "Body-Sign"
ALGORITHM_HEADER: Final = "Sign-Algo"
ALGORITHM: Final = "sha256"
VERSION: Final = "v2:"


def sign(body: str, headers: Mapping[str, str], key: bytes) -> dict[str, str]:
    """The headers that sign a message with this body and these headers."""
    return {SIGNATURE_HEADER: _signature(body, headers, key).decode(), ALGORITHM_HEADER: ALGORITHM}


def is_signed_right(body: str, headers: Mapping[str, str], key: bytes) -> bool:
    """Whether the headers hold a signature, made with this key, of the body and of themselves.

    A signature of the body alone, as Symfony wrote it until August 2026, is none: who takes the class or the
    stamps of a message from its headers must know that nobody has changed those.
    """
    return hmac.compare_digest(_bytes(headers.get(SIGNATURE_HEADER, "")), _signature(body, headers, key))


def covers_body_alone(headers: Mapping[str, str]) -> bool:
    """Whether there is a signature of the kind that says nothing of the headers."""
    return not headers.get(SIGNATURE_HEADER, VERSION).startswith(VERSION)


def _signature(body: str, headers: Mapping[str, str], key: bytes) -> bytes:
    own_key = hmac.new(key, VERSION.encode(), sha256).hexdigest().encode()
    return VERSION.encode() + hmac.new(own_key, signed_bytes(body, headers), sha256).hexdigest().encode()


def signed_bytes(body: str, headers: Mapping[str, str]) -> bytes:
    """What is signed: the body and the headers that describe it, as PHP's `serialize` writes the pair."""
    signed = sorted((_bytes(name), _bytes(text)) for name, text in headers.items() if _is_signed(name))
    pairs = b"".join(_php_string(name) + _php_string(text) for name, text in signed)
    return b"a:2:{i:0;%si:1;a:%d:{%s}}" % (_php_string(_bytes(body)), len(signed), pairs)


def _is_signed(name: str) -> bool:
    return name == TYPE_HEADER or name.startswith(STAMP_PREFIX)


def _php_string(text: bytes) -> bytes:
    return b's:%d:"%s";' % (len(text), text)


def _bytes(text: str) -> bytes:
    # a half of a surrogate pair can come in by an escape in JSON; it must not be able to stop anything
    return text.encode("utf-8", "surrogatepass")
