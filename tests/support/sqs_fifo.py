"""A FIFO queue of the SQS stand-in: groups in order, one batch of each in flight, repeats dropped."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support.sqs_queue import Queue, SqsError, StoredMessage

SUFFIX: Final = ".fifo"
DEDUPLICATION_SECONDS: Final = 300
SEQUENCE_START: Final = 18_850_000_000_000_000_000
FIFO_ATTRIBUTES: Final = {
    "FifoQueue": "true",
    "ContentBasedDeduplication": "false",
    "DeduplicationScope": "queue",
    "FifoThroughputLimit": "perQueue",
}

Group = dict[str, StoredMessage]


@dataclass(slots=True)
class FifoQueue(Queue):
    """While a message of a group is in flight, no other of it is received; one receive may bring several."""

    _groups: dict[str, Group] = field(default_factory=dict)
    _seen: dict[tuple[str, str], tuple[float, dict[str, str]]] = field(default_factory=dict)

    def send(self, entry: Mapping[str, Any]) -> dict[str, str]:
        """Take a message, unless its deduplication id came in the last five minutes; deleted or not."""
        group, deduplication_id = self._ids(entry)
        now = self.clock()
        scope = group if self.attributes["DeduplicationScope"] == "messageGroup" else ""
        seen_at, answer = self._seen.get((scope, deduplication_id), (None, {}))
        if seen_at is not None and now - seen_at < DEDUPLICATION_SECONDS:
            return answer
        message = self.new_message(entry)
        message.deduplication_id = deduplication_id
        message.sequence = SEQUENCE_START + 256 * next(self._turns)
        self.messages[message.message_id] = message
        self._groups.setdefault(group, {})[message.message_id] = message
        answer = {**self.answer(message), "SequenceNumber": str(message.sequence)}
        self._seen[scope, deduplication_id] = now, answer
        return answer

    def receive(self, maximum: int, visibility_seconds: int) -> list[StoredMessage]:
        """Lease up to `maximum` messages, as many as there are of one group before the next one's."""
        now = self.clock()
        taken: list[StoredMessage] = []
        for name in list(self._groups):
            if len(taken) == maximum or _free_at(self._groups[name]) > now:
                continue
            self._groups[name] = group = self._groups.pop(name)  # the others come first next time
            visible = [message for message in group.values() if message.visible_at <= now]
            taken += visible[: maximum - len(taken)]
        for message in taken:
            message.receive_count += 1
            message.received_at = now
            message.visible_at = now + visibility_seconds
        return taken

    def next_visible_at(self) -> float | None:
        """When the next message can, or could, be received; None on an empty queue."""
        return min((_free_at(group) for group in self._groups.values()), default=None)

    def delete(self, receipt: str) -> None:
        """Delete by receipt; refused when its lease ran out, for then others may have the message."""
        message, is_latest = self._find(receipt)
        if message is None:
            return
        if not is_latest or message.visible_at <= self.clock():
            raise SqsError("InvalidParameterValue", "Reason: The receipt handle has expired")
        del self.messages[message.message_id]
        group = self._groups[str(message.group)]
        del group[message.message_id]
        if not group:
            del self._groups[str(message.group)]

    def purge(self) -> None:
        """Delete everything; deduplication ids stay known."""
        self.messages.clear()
        self._groups.clear()

    def _show_at(self, message: StoredMessage, moment: float) -> None:
        message.visible_at = moment

    def _ids(self, entry: Mapping[str, Any]) -> tuple[str, str]:
        group, deduplication_id = entry.get("MessageGroupId"), entry.get("MessageDeduplicationId")
        if "DelaySeconds" in entry:
            raise SqsError(
                "InvalidParameterValue",
                "Reason: The request include parameter that is not valid for this queue type: DelaySeconds",
            )
        if not group:
            raise SqsError("MissingParameter", "The request must contain the parameter MessageGroupId")
        if not deduplication_id and self.attributes["ContentBasedDeduplication"] == "true":
            deduplication_id = hashlib.sha256(str(entry.get("MessageBody", "")).encode()).hexdigest()
        if not deduplication_id:
            raise SqsError(
                "InvalidParameterValue",
                "The queue should either have ContentBasedDeduplication enabled or "
                "MessageDeduplicationId provided explicitly",
            )
        return group, deduplication_id


def _free_at(group: Group) -> float:
    """When the first message can be received: none that was received may be in flight."""
    first = next(iter(group.values()))
    moment = first.visible_at
    for message in group.values():
        if not message.receive_count:
            break
        moment = max(moment, message.visible_at)
    return moment
