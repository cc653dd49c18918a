"""The bodies of messages on the queues, for people to look at: claim checks fetched, nothing trusted."""

from typing import Any

from config.job import BadMessage, read_object
from config.settings import Settings
from worker.claim_check import is_pointer, resolve
from worker.cli.common import open_store
from worker.objects import ObjectError

BODY_BYTES_MAXIMUM = 64 * 2**20


def full_body(settings: Settings, body: str) -> str:
    """The body itself, where the message only refers to it; the reference where it is not there."""
    if not is_pointer(body):
        return body
    try:
        with open_store(settings) as store:
            return resolve(body, store, settings.queues.readable_buckets, BODY_BYTES_MAXIMUM)
    except (BadMessage, ObjectError):
        return body


def fields_of(body: str) -> dict[str, Any]:
    """The fields of the JSON object in the body; none where it is something else."""
    try:
        return read_object(body)
    except BadMessage:
        return {}


def text_of(value: Any) -> str | None:
    """The value where it is text: a foreign body's fields can be anything."""
    return value if isinstance(value, str) else None
