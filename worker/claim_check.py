"""Claim checks: message bodies that lie in a bucket, referred to as AWS's extended clients do."""

import json
import re
from collections.abc import Collection
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec

from config.job import BadMessage
from worker.objects import ObjectMissing, ObjectNotAllowed, ObjectStore
from worker.transports.base import Attribute

POINTER_CLASS: Final = "software.amazon.payloadoffloading.PayloadS3Pointer"
LEGACY_POINTER_CLASS: Final = "com.amazon.sqs.javamessaging.MessageS3Pointer"
POINTER_CLASSES: Final = frozenset({POINTER_CLASS, LEGACY_POINTER_CLASS})
SIZE_ATTRIBUTE: Final = "ExtendedPayloadSize"
PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
MARK_CHARACTERS: Final = 16


class Pointer(NamedTuple):
    """What is sent in place of a body: the reference, and the attribute that extended clients look for."""

    body: str
    attributes: dict[str, Attribute]


def is_pointer(body: str) -> bool:
    """Whether the body is a reference in the extended clients' form; never raises."""
    return _fields(body) is not None


def resolve(body: str, store: ObjectStore, allowed_buckets: Collection[str], bytes_maximum: int) -> str:
    """The body that the reference `body` stands for. The object stays where it is.

    At most `bytes_maximum` + 1 bytes are read.

    Raises:
        BadMessage: `claim_check_failed`: no reference, a bucket that is not allowed, no such object, no
            UTF-8, or more than `bytes_maximum` bytes.
        ObjectStoreUnavailable: the store cannot be asked now.
    """
    bucket, key = _target(body)
    if bucket not in allowed_buckets:
        raise _failed("lies in a bucket that is not in [queues] claim_check_buckets")
    try:
        with store.open(bucket, key) as stream:
            data = stream.read(bytes_maximum + 1)
    except ObjectMissing as error:
        raise _failed("is not in its bucket") from error
    except ObjectNotAllowed as error:
        raise _failed("has a key that leads out of its bucket") from error
    if len(data) > bytes_maximum:
        raise _failed(f"has more than {bytes_maximum} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _failed("is not UTF-8 text") from error


def offload(body: str, store: ObjectStore, bucket: str, key: str) -> Pointer:
    """Store the body under the key and return what to send in its place.

    Raises:
        ObjectStoreUnavailable: the store cannot be asked now; nothing may be sent.
    """
    data = body.encode("utf-8")
    store.put(bucket, key, data)
    reference = json.dumps([POINTER_CLASS, {"s3BucketName": bucket, "s3Key": key}], separators=(",", ":"))
    return Pointer(reference, {SIZE_ATTRIBUTE: Attribute("Number", str(len(data)))})


def plain(message_id: str) -> str:
    """The id as part of a key: where there is more in it than an id has, its digest.

    On some brokers the sender chooses it: it must lead to no other folder.
    """
    return message_id if PLAIN.fullmatch(message_id) else _digest(message_id)


def content_mark(text: str) -> str:
    """What tells this content from another under the same id: it must not take the place of that one."""
    return _digest(text)[:MARK_CHARACTERS]


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _target(body: str) -> tuple[str, str]:
    match _fields(body):
        case {"s3BucketName": str(bucket), "s3Key": str(key)} if bucket and key:
            return bucket, key
    raise _failed("is not named: s3BucketName and s3Key are asked for")


def _fields(body: str) -> dict[str, Any] | None:
    # Jobs are objects and often large: they are told from a reference without being decoded here.
    if not body[:100].lstrip().startswith("["):
        return None
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
    match value:
        case [str(pointer_class), dict(fields)] if pointer_class in POINTER_CLASSES:
            return fields
    return None


def _failed(what: str) -> BadMessage:
    return BadMessage("claim_check_failed", f"The object that the body refers to {what}.")
