"""What a queue takes: SQS's limits by name, the size of a message, and the check before it is sent.

The embedded queue keeps the same limits, so that what works on one works on the other.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from worker.transports.base import Attribute, Fault, Message

MESSAGE_BYTES_MAXIMUM: Final = 1024 * 1024
"""The largest message, body and attributes together; also the largest batch in one request."""

BATCH_COUNT_MAXIMUM: Final = 10
"""The entries of one batch request, and the messages of one receive."""

ATTRIBUTES_MAXIMUM: Final = 10
"""The message attributes of one message."""

WAIT_MAXIMUM: Final = timedelta(seconds=20)
"""The longest long poll."""

DELAY_MAXIMUM: Final = timedelta(seconds=900)
"""The longest delay that a message is sent with."""

VISIBILITY_MAXIMUM: Final = timedelta(seconds=43_200)
"""The longest lease; SQS counts it from the receive, also when it is extended."""

RELEASE_DELAY_MAXIMUM: Final = VISIBILITY_MAXIMUM - timedelta(hours=1)
"""The longest delay of a released message: an hour of SQS's twelve is left for the time it was held."""

RETENTION_MAXIMUM: Final = timedelta(days=14)
"""The longest that a queue keeps a message."""

RETENTION_USUAL: Final = timedelta(days=4)
"""SQS's default; taken of a queue that does not say how long it keeps messages."""

FORBIDDEN_CHARACTERS: Final = re.compile(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
ATTRIBUTE_NAME: Final = re.compile(r"(?!(?i:aws|amazon)\.)(?!.*\.\.)(?!\.)[0-9A-Za-z_.-]{1,256}(?<!\.)")
ATTRIBUTE_TYPE: Final = re.compile(r"(?:String|Number|Binary)(?:\..{1,249})?")
GROUP: Final = re.compile(r"[!-~]{1,128}")


def message_size(message: Message) -> int:
    """The bytes of a message as SQS counts them: body, and each attribute's name, type and value."""
    return _size(message.body) + sum(
        _size(name) + _size(attribute.data_type) + _size(attribute.value)
        for name, attribute in message.attributes.items()
    )


def message_fault(message: Message) -> Fault | None:
    """Why no queue would ever take this message, or None.

    Raises `ValueError` for a delay that no queue has: that is the caller's mistake, not the message's.
    """
    if not timedelta() <= message.delay <= DELAY_MAXIMUM:
        raise ValueError(f"a message's delay is between 0 and {DELAY_MAXIMUM}, found {message.delay}")
    return _body_fault(message.body) or _attributes_fault(message.attributes) or _envelope_fault(message)


def _body_fault(body: str) -> Fault | None:
    if not body:
        return _final("InvalidMessageContents", "the body is empty")
    if _has_forbidden(body):
        return _final("InvalidMessageContents", "the body has characters that a queue does not take")
    return None


def _attributes_fault(attributes: Mapping[str, Attribute]) -> Fault | None:
    if len(attributes) > ATTRIBUTES_MAXIMUM:
        return _final("InvalidAttributes", f"{len(attributes)} attributes, the most is {ATTRIBUTES_MAXIMUM}")
    faulty = [name for name, attribute in attributes.items() if not attribute_ok(name, attribute)]
    if faulty:
        return _final(
            "InvalidAttributes", f"an attribute has a name, type or value that a queue refuses: {faulty!a}"
        )
    return None


def attribute_ok(name: str, attribute: Attribute) -> bool:
    """Whether queues take an attribute of this name, type and value."""
    binary = attribute.data_type.startswith("Binary")
    return (
        ATTRIBUTE_NAME.fullmatch(name) is not None
        and ATTRIBUTE_TYPE.fullmatch(attribute.data_type) is not None
        and len(attribute.value) > 0
        and isinstance(attribute.value, bytes) is binary
        and (isinstance(attribute.value, bytes) or not _has_forbidden(attribute.value))
    )


def _envelope_fault(message: Message) -> Fault | None:
    if message.group is not None and not GROUP.fullmatch(message.group):
        return _final("InvalidGroup", "the group is not 1 to 128 printable ASCII characters")
    size = message_size(message)
    if size > MESSAGE_BYTES_MAXIMUM:
        return _final("MessageTooLong", f"the message has {size} bytes, the most is {MESSAGE_BYTES_MAXIMUM}")
    return None


def _size(value: str | bytes) -> int:
    return len(value if isinstance(value, bytes) else value.encode())


def _final(code: str, message: str) -> Fault:
    return Fault(code, f"{message}; sending it again cannot help", final=True)


def _has_forbidden(text: str) -> bool:
    # a surrogate, which JSON can bring in, is not printable; so the fast answer is right
    return not text.isprintable() and FORBIDDEN_CHARACTERS.search(text) is not None
