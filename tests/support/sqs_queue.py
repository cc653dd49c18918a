"""One queue of the SQS stand-in: messages in a heap by the moment they become visible, with leases."""

import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from struct import pack
from typing import Any, Final
from uuid import uuid4

MESSAGE_BYTES: Final = 1024 * 1024
VISIBILITY_SECONDS: Final = 43_200
DELAY_SECONDS: Final = 900
ATTRIBUTES: Final = 10
FORBIDDEN: Final = re.compile(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
DEFAULT_ATTRIBUTES: Final = {
    "VisibilityTimeout": "30",
    "DelaySeconds": "0",
    "MaximumMessageSize": str(MESSAGE_BYTES),
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
}


class SqsError(Exception):
    """An error as SQS answers it: its code, its text, and whether the sender is to blame."""

    def __init__(self, code: str, text: str, *, sender_fault: bool = True, status: int = 400) -> None:
        super().__init__(text)
        self.code = code
        self.sender_fault = sender_fault
        self.status = status


@dataclass(slots=True)
class StoredMessage:
    """A message on the queue. `turn` is the number of its only valid entry in the heap."""

    message_id: str
    body: str
    attributes: Mapping[str, Mapping[str, str]]
    digests: Mapping[str, str]
    group: str | None
    trace_header: str | None
    sent_at: float
    visible_at: float
    deduplication_id: str | None = None
    sequence: int | None = None
    turn: int = 0
    receive_count: int = 0
    received_at: float = 0.0

    @property
    def receipt(self) -> str:
        """The handle of its latest receive; each receive makes another."""
        return b64encode(f"{self.message_id} {self.receive_count}".encode()).decode()


@dataclass(slots=True)
class Queue:
    """A standard queue. Receives in the order in which messages become visible."""

    name: str
    attributes: dict[str, str]
    clock: Callable[[], float]
    messages: dict[str, StoredMessage] = field(default_factory=dict)
    _heap: list[tuple[float, int, StoredMessage]] = field(default_factory=list)
    _turns: count = field(default_factory=count)  # type: ignore[type-arg]

    def send(self, entry: Mapping[str, Any]) -> dict[str, str]:
        """Take a message as SendMessage describes it; the answer's fields."""
        if "MessageDeduplicationId" in entry:
            raise SqsError(
                "InvalidParameterValue",
                "Reason: The request include parameter that is not valid for this queue type: "
                "MessageDeduplicationId",
            )
        message = self.new_message(entry)
        self.messages[message.message_id] = message
        self._show_at(message, message.visible_at)
        return self.answer(message)

    def new_message(self, entry: Mapping[str, Any]) -> StoredMessage:
        """The message that SendMessage describes; not yet on the queue."""
        body = entry.get("MessageBody", "")
        attributes = entry.get("MessageAttributes") or {}
        delay = entry.get("DelaySeconds", int(self.attributes["DelaySeconds"]))
        self._check(body, attributes, delay)
        now = self.clock()
        digests = _digests(body, attributes)
        group = entry.get("MessageGroupId")
        system = entry.get("MessageSystemAttributes") or {}
        trace = system.get("AWSTraceHeader", {}).get("StringValue")
        return StoredMessage(str(uuid4()), body, attributes, digests, group, trace, now, now + delay)

    @staticmethod
    def answer(message: StoredMessage) -> dict[str, str]:
        """What the sender of a message is told."""
        return {"MessageId": message.message_id, **message.digests}

    def receive(self, maximum: int, visibility_seconds: int) -> list[StoredMessage]:
        """Lease up to `maximum` visible messages."""
        now = self.clock()
        taken: list[StoredMessage] = []
        while len(taken) < maximum and (top := self.next_visible_at()) is not None and top <= now:
            message = heappop(self._heap)[2]
            message.receive_count += 1
            message.received_at = now
            taken.append(message)
        for message in taken:
            self._show_at(message, now + visibility_seconds)
        return taken

    def next_visible_at(self) -> float | None:
        """When the next message becomes, or became, visible; None on an empty queue."""
        heap = self._heap
        while heap and not self._is_current(heap[0]):
            heappop(heap)
        return heap[0][0] if heap else None

    def delete(self, receipt: str) -> None:
        """Delete by receipt; an old receipt deletes nothing and is no error."""
        message, is_latest = self._find(receipt)
        if message is not None and is_latest:
            del self.messages[message.message_id]

    def change_visibility(self, receipt: str, seconds: int) -> None:
        """Show the message again `seconds` from now; it must be in flight under this receipt."""
        if not 0 <= seconds <= VISIBILITY_SECONDS:
            raise SqsError("InvalidParameterValue", "VisibilityTimeout must be between 0 and 43200")
        message, is_latest = self._find(receipt)
        if message is None or not is_latest:
            raise SqsError("InvalidParameterValue", "Message does not exist or is not available")
        now = self.clock()
        if message.visible_at <= now:
            raise SqsError("MessageNotInflight", "The message is not in flight")
        if now - message.received_at + seconds > VISIBILITY_SECONDS:
            raise SqsError("InvalidParameterValue", "Total VisibilityTimeout is beyond 43200 seconds")
        self._show_at(message, now + seconds)

    def purge(self) -> None:
        """Delete everything."""
        self.messages.clear()
        self._heap.clear()

    def approximate_numbers(self) -> dict[str, str]:
        """The three counts, exactly."""
        now = self.clock()
        hidden = [message for message in self.messages.values() if message.visible_at > now]
        leased = sum(message.receive_count > 0 for message in hidden)
        return {
            "ApproximateNumberOfMessages": str(len(self.messages) - len(hidden)),
            "ApproximateNumberOfMessagesNotVisible": str(leased),
            "ApproximateNumberOfMessagesDelayed": str(len(hidden) - leased),
        }

    def _show_at(self, message: StoredMessage, moment: float) -> None:
        message.visible_at = moment
        message.turn = next(self._turns)
        heappush(self._heap, (moment, message.turn, message))

    def _is_current(self, entry: tuple[float, int, StoredMessage]) -> bool:
        _, turn, message = entry
        return message.turn == turn and message.message_id in self.messages

    def _find(self, receipt: str) -> tuple[StoredMessage | None, bool]:
        try:
            message_id, receive = b64decode(receipt, validate=True).decode().split(" ")
        except ValueError:
            raise SqsError("ReceiptHandleIsInvalid", "The input receipt handle is invalid") from None
        message = self.messages.get(message_id)
        return message, message is not None and receive == str(message.receive_count)

    def _check(self, body: str, attributes: Mapping[str, Mapping[str, str]], delay: int) -> None:
        if not body or (not body.isprintable() and FORBIDDEN.search(body)):
            raise SqsError("InvalidMessageContents", "Invalid characters found, or an empty body")
        if not 0 <= delay <= DELAY_SECONDS:
            raise SqsError("InvalidParameterValue", "DelaySeconds must be between 0 and 900")
        if len(attributes) > ATTRIBUTES:
            raise SqsError("InvalidParameterValue", "Number of message attributes exceeds 10")
        if message_bytes(body, attributes) > int(self.attributes["MaximumMessageSize"]):
            raise SqsError("InvalidParameterValue", "Message must be shorter than MaximumMessageSize")


def message_bytes(body: str, attributes: Mapping[str, Mapping[str, str]]) -> int:
    """The size of a message: body, attribute names, types and values."""
    return len(body.encode()) + sum(
        len(name.encode()) + len(attribute["DataType"].encode()) + len(_value(attribute)[1])
        for name, attribute in attributes.items()
    )


def _digests(body: str, attributes: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    digests = {"MD5OfMessageBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()}
    if attributes:
        digests["MD5OfMessageAttributes"] = attributes_digest(attributes)
    return digests


def attributes_digest(attributes: Mapping[str, Mapping[str, str]]) -> str:
    """The MD5 over the attributes in the order of their names, as AWS documents it."""
    digest = hashlib.md5(usedforsecurity=False)
    for name, attribute in sorted(attributes.items()):
        kind, value = _value(attribute)
        digest.update(
            _framed(name.encode()) + _framed(attribute["DataType"].encode()) + kind + _framed(value)
        )
    return digest.hexdigest()


def _value(attribute: Mapping[str, str]) -> tuple[bytes, bytes]:
    if "BinaryValue" in attribute:
        return b"\x02", b64decode(attribute["BinaryValue"])
    return b"\x01", attribute.get("StringValue", "").encode()


def _framed(value: bytes) -> bytes:
    return pack(">I", len(value)) + value
