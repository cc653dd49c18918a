"""The actions of the SQS stand-in: what each one takes and answers, batches entry by entry."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tests.support.sqs_fifo import FIFO_ATTRIBUTES, SUFFIX, FifoQueue
from tests.support.sqs_queue import (
    DEFAULT_ATTRIBUTES,
    MESSAGE_BYTES,
    Queue,
    SqsError,
    StoredMessage,
    attributes_digest,
    message_bytes,
)

Answer = dict[str, Any]
Request = Mapping[str, Any]
ACCOUNT: Final = "000000000000"
BATCH_ENTRIES: Final = 10
ENTRY_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,80}")


class Service:
    """All queues, and the actions on them. A receive that finds nothing is the server's to repeat."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.base_url = ""
        self.queues: dict[str, Queue] = {}
        self._clock = clock
        self._actions: dict[str, Callable[[Request], Answer]] = {
            "CreateQueue": self._create_queue,
            "DeleteQueue": self._delete_queue,
            "GetQueueUrl": lambda request: {"QueueUrl": self._url(self._named(request["QueueName"]))},
            "GetQueueAttributes": self._get_attributes,
            "SetQueueAttributes": self._set_attributes,
            "SendMessage": lambda request: self.queue(request).send(request),
            "SendMessageBatch": self._send_batch,
            "ReceiveMessage": self.receive,
            "DeleteMessage": lambda request: self._delete(self.queue(request), request),
            "DeleteMessageBatch": lambda request: self._batch(request, self._delete),
            "ChangeMessageVisibility": lambda request: self._change(self.queue(request), request),
            "ChangeMessageVisibilityBatch": lambda request: self._batch(request, self._change),
            "PurgeQueue": self._purge,
        }

    def answer(self, action: str, request: Request) -> Answer:
        """Do the action; raises `SqsError`."""
        if action not in self._actions:
            raise SqsError("InvalidAction", f"The action {action} is not valid here")
        return self._actions[action](request)

    def queue(self, request: Request) -> Queue:
        """The queue that a request's QueueUrl names."""
        return self._named(str(request.get("QueueUrl", "")).rsplit("/", 1)[-1])

    def receive(self, request: Request) -> Answer:
        """Take what is visible now, without waiting."""
        queue = self.queue(request)
        maximum = request.get("MaxNumberOfMessages", 1)
        if not 1 <= maximum <= BATCH_ENTRIES or not 0 <= self.wait_seconds(request) <= 20:
            raise SqsError("InvalidParameterValue", "MaxNumberOfMessages is 1 to 10, WaitTimeSeconds 0 to 20")
        visibility = request.get("VisibilityTimeout", int(queue.attributes["VisibilityTimeout"]))
        return {"Messages": [_received(message, request) for message in queue.receive(maximum, visibility)]}

    def wait_seconds(self, request: Request) -> int:
        """How long a receive may wait: its own word, or the queue's."""
        default = self.queue(request).attributes["ReceiveMessageWaitTimeSeconds"]
        return int(request.get("WaitTimeSeconds", default))

    def _named(self, name: str) -> Queue:
        if name not in self.queues:
            raise SqsError("QueueDoesNotExist", "The specified queue does not exist")
        return self.queues[name]

    def _url(self, queue: Queue) -> str:
        return f"{self.base_url}/{ACCOUNT}/{queue.name}"

    def _create_queue(self, request: Request) -> Answer:
        name, attributes = request["QueueName"], request.get("Attributes", {})
        queue = self.queues.get(name)
        if queue is None:
            queue = self.queues[name] = _new_queue(name, attributes, self._clock)
        elif any(queue.attributes.get(key) != value for key, value in attributes.items()):
            raise SqsError("QueueNameExists", "A queue already exists with other attributes")
        return {"QueueUrl": self._url(queue)}

    def _delete_queue(self, request: Request) -> Answer:
        del self.queues[self.queue(request).name]
        return {}

    def _get_attributes(self, request: Request) -> Answer:
        queue = self.queue(request)
        found = queue.attributes | queue.approximate_numbers()
        names = request.get("AttributeNames", [])
        return {"Attributes": {key: value for key, value in found.items() if key in names or "All" in names}}

    def _set_attributes(self, request: Request) -> Answer:
        self.queue(request).attributes.update(request["Attributes"])
        return {}

    def _purge(self, request: Request) -> Answer:
        self.queue(request).purge()
        return {}

    def _send_batch(self, request: Request) -> Answer:
        entries = request.get("Entries", [])
        total = sum(
            message_bytes(entry.get("MessageBody", ""), entry.get("MessageAttributes") or {})
            for entry in entries
        )
        if total > MESSAGE_BYTES:
            raise SqsError("BatchRequestTooLong", "The batch is longer than 1048576 bytes")
        return self._batch(request, lambda queue, entry: queue.send(entry))

    @staticmethod
    def _delete(queue: Queue, request: Request) -> Answer:
        queue.delete(request["ReceiptHandle"])
        return {}

    @staticmethod
    def _change(queue: Queue, request: Request) -> Answer:
        queue.change_visibility(request["ReceiptHandle"], request["VisibilityTimeout"])
        return {}

    def _batch(self, request: Request, act: Callable[[Queue, Request], Mapping[str, Any]]) -> Answer:
        queue, entries = self.queue(request), request.get("Entries", [])
        _check_batch(entries)
        answer: Answer = {"Successful": [], "Failed": []}
        for entry in entries:
            try:
                answer["Successful"].append({"Id": entry["Id"], **act(queue, entry)})
            except SqsError as error:
                answer["Failed"].append(failed_entry(entry["Id"], error))
        return answer


def _new_queue(name: str, attributes: dict[str, str], clock: Callable[[], float]) -> Queue:
    ordered = attributes.get("FifoQueue")
    if ordered not in (None, "true"):
        raise SqsError("InvalidAttributeName", "Unknown Attribute FifoQueue.")
    if name.endswith(SUFFIX) != (ordered == "true"):
        raise SqsError("InvalidParameterValue", "The name of a FIFO queue, and of no other, ends in .fifo")
    if ordered == "true":
        return FifoQueue(name, DEFAULT_ATTRIBUTES | FIFO_ATTRIBUTES | attributes, clock)
    return Queue(name, DEFAULT_ATTRIBUTES | attributes, clock)


def failed_entry(entry_id: str, error: SqsError) -> Answer:
    """An entry of a batch answer's Failed list."""
    return {
        "Id": entry_id,
        "Code": error.code,
        "Message": str(error),
        "SenderFault": error.sender_fault,
    }


def _check_batch(entries: Sequence[Request]) -> None:
    ids = [entry.get("Id", "") for entry in entries]
    if not ids:
        raise SqsError("EmptyBatchRequest", "The batch has no entries")
    if len(ids) > BATCH_ENTRIES:
        raise SqsError("TooManyEntriesInBatchRequest", "The batch has more than ten entries")
    if len(set(ids)) != len(ids):
        raise SqsError("BatchEntryIdsNotDistinct", "Two entries have the same id")
    if not all(ENTRY_ID.fullmatch(entry_id) for entry_id in ids):
        raise SqsError("InvalidBatchEntryId", "An id has characters that are not allowed")


def _received(message: StoredMessage, request: Request) -> Answer:
    answer: Answer = {
        "MessageId": message.message_id,
        "ReceiptHandle": message.receipt,
        "Body": message.body,
        "MD5OfBody": message.digests["MD5OfMessageBody"],
    }
    system = _asked(_system_attributes(message), request.get("MessageSystemAttributeNames", ()))
    attributes = _asked(message.attributes, request.get("MessageAttributeNames", ()))
    if system:
        answer["Attributes"] = system
    if attributes:
        answer |= {"MessageAttributes": attributes, "MD5OfMessageAttributes": attributes_digest(attributes)}
    return answer


def _system_attributes(message: StoredMessage) -> dict[str, str]:
    attributes = {
        "SentTimestamp": str(int(message.sent_at * 1000)),
        "ApproximateReceiveCount": str(message.receive_count),
    }
    given = {
        "MessageGroupId": message.group,
        "AWSTraceHeader": message.trace_header,
        "MessageDeduplicationId": message.deduplication_id,
        "SequenceNumber": None if message.sequence is None else str(message.sequence),
    }
    return attributes | {name: value for name, value in given.items() if value}


def _asked(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names or "All" in names}
