"""SQS queues through boto3, standard and FIFO: batches of ten, failures entry by entry, two clients."""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from threading import Event
from typing import Any, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from worker.transports.addresses import ORDERED_SUFFIX, SqsAddress
from worker.transports.base import (
    Delivery,
    Depth,
    Fault,
    Faults,
    Message,
    QueueMissing,
    TransportError,
)
from worker.transports.batches import split
from worker.transports.limits import (
    BATCH_COUNT_MAXIMUM,
    MESSAGE_BYTES_MAXIMUM,
    RELEASE_DELAY_MAXIMUM,
    RETENTION_MAXIMUM,
    VISIBILITY_MAXIMUM,
    WAIT_MAXIMUM,
    message_fault,
)
from worker.transports.sqs_answers import (
    DEPTHS,
    UNREADABLE,
    attributes_in,
    deliveries_in,
    depth_in,
    faults_in,
    url_in,
)
from worker.transports.sqs_clients import Clients
from worker.transports.sqs_entries import Entry, send_entries
from worker.transports.sqs_errors import (
    NOT_TRIED,
    RequestRefused,
    error_from,
    foreign_answer,
    lease_fault,
    send_fault,
)
from worker.transports.sqs_ordered import (
    NEW_QUEUE,
    identified,
    ordered_fault,
    ordered_parameters,
    ordered_queue_faults,
    send_in_order,
)
from worker.transports.sqs_wire import (
    TRACE_HEADER,
    attribute_faults,
    retention_from,
    send_parameters,
    whole_seconds,
)

SYSTEM_ATTRIBUTES: Final = ["SentTimestamp", "ApproximateReceiveCount", "MessageGroupId", TRACE_HEADER]
BROWSE_LEASE: Final = timedelta(seconds=30)
BROWSE_WAIT: Final = timedelta(seconds=1)  # a long poll asks all of SQS's servers, a short one only some

FaultOf = Callable[..., Fault]
Answer = TypeVar("Answer")


class SqsTransport:
    """One SQS queue; keeps the `Transport` protocol. A name that ends in `.fifo` is an ordered queue's.

    `lease` is the visibility timeout that `create` gives the queue; each receive brings its own.
    A batch of several requests fails as a whole only if its first request does; after a later one,
    the entries that were not done have a fault each.
    """

    message_bytes_maximum = MESSAGE_BYTES_MAXIMUM
    wait_maximum = WAIT_MAXIMUM
    hold_maximum = VISIBILITY_MAXIMUM

    def __init__(
        self,
        address: SqsAddress,
        *,
        lease: timedelta,
        clock: Callable[[], float] = time.time,
        note_request: Callable[[str], None] = lambda _action: None,
    ) -> None:
        self.name = address.queue_name
        self.is_ordered = address.queue_name.endswith(ORDERED_SUFFIX)
        self._queue_url = address.queue_url
        self._lease = lease
        self._clock = clock
        self._clients = Clients(address.endpoint_url, address.region, note_request)
        self._closing = Event()

    def receive(self, maximum: int, wait: timedelta, lease: timedelta) -> list[Delivery]:
        """As the protocol says, in whole seconds. What a poll brings after `close` is released here."""
        answer = self._call(
            "receive_message",
            MaxNumberOfMessages=min(maximum, BATCH_COUNT_MAXIMUM),
            WaitTimeSeconds=whole_seconds(wait, WAIT_MAXIMUM),
            VisibilityTimeout=whole_seconds(lease, VISIBILITY_MAXIMUM),
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=SYSTEM_ATTRIBUTES,
        )
        deliveries = self._read(deliveries_in, answer, self._clock())
        if self._closing.is_set():
            self.release([(delivery, timedelta()) for delivery in deliveries])
            return []
        return deliveries

    def ack(self, batch: Sequence[Delivery]) -> Faults:
        """As the protocol says; SQS does not tell when the receipt is an old one, and keeps the message."""
        entries = [
            Entry(position, {"ReceiptHandle": delivery.receipt}) for position, delivery in enumerate(batch)
        ]
        return self._in_requests("delete_message_batch", entries, lease_fault)

    def release(self, batch: Sequence[tuple[Delivery, timedelta]]) -> Faults:
        """As the protocol says; delays are whole seconds, at most `RELEASE_DELAY_MAXIMUM`."""
        return self._change_visibility(
            [(delivery, min(delay, RELEASE_DELAY_MAXIMUM)) for delivery, delay in batch]
        )

    def extend(self, batch: Sequence[Delivery], lease: timedelta) -> Faults:
        """As the protocol says, in whole seconds."""
        return self._change_visibility([(delivery, lease) for delivery in batch])

    def send(self, batch: Sequence[Message]) -> Faults:
        """As the protocol says; a message that SQS would never take is refused before it is sent.

        On a FIFO queue none overtakes an earlier one of its group, not even one that has to be repeated.
        """
        if self.is_ordered:
            messages = [identified(message) for message in batch]
            faults, entries = send_entries(messages, ordered_fault, ordered_parameters)
            return faults | self._send_in_order(entries)
        faults, entries = send_entries(batch, message_fault, send_parameters)
        return faults | self._send_entries(entries)

    def browse(self, maximum: int) -> list[Delivery]:
        """As the protocol says: received under a short lease and released together, so their count grows."""
        seen: dict[str, Delivery] = {}
        try:
            while len(seen) < maximum:
                received = self.receive(maximum - len(seen), BROWSE_WAIT, BROWSE_LEASE)
                known = len(seen)
                seen.update((delivery.message_id, delivery) for delivery in received)
                if len(seen) == known:
                    break
        finally:
            # a group that is released from its end cannot be received in part
            self.release([(delivery, timedelta()) for delivery in reversed(seen.values())])
        return list(seen.values())

    def depth(self) -> Depth:
        """As the protocol says, as SQS estimates it."""
        return self._read(depth_in, self._queue_attributes(DEPTHS))

    def retention(self) -> timedelta:
        """As the protocol says."""
        return self._read(retention_from, self._queue_attributes(["MessageRetentionPeriod"]))

    def create(self) -> bool:
        """As the protocol says; a queue that exists is left as it is."""
        try:
            self._queue_url = self._look_up_url()
        except QueueMissing:
            self._queue_url = self._create_queue()
            return True
        return False

    def check(self) -> list[str]:
        """As the protocol says: queue missing, retention, redrive policy, visibility, message size."""
        try:
            attributes = self._queue_attributes(["All"])
            faults = self._read(attribute_faults, attributes)
            return faults + ordered_queue_faults(attributes) if self.is_ordered else faults
        except TransportError as error:
            return [str(error)]

    def interrupt(self) -> None:
        """As the protocol says: a long poll under way is waited for."""

    def close(self) -> None:
        """As the protocol says. A long poll cannot be cut short: it ends by itself and keeps nothing."""
        self._closing.set()
        self._clients.close()

    def _change_visibility(self, batch: Sequence[tuple[Delivery, timedelta]]) -> Faults:
        entries = [
            Entry(
                position,
                {
                    "ReceiptHandle": delivery.receipt,
                    "VisibilityTimeout": whole_seconds(hidden, VISIBILITY_MAXIMUM),
                },
            )
            for position, (delivery, hidden) in enumerate(batch)
        ]
        return self._in_requests("change_message_visibility_batch", entries, lease_fault)

    def _send_entries(self, entries: Sequence[Entry]) -> Faults:
        return self._in_requests("send_message_batch", entries, send_fault)

    def _send_in_order(self, entries: Sequence[Entry]) -> Faults:
        by_position = {entry.position: entry for entry in entries}
        groups = {entry.position: entry.parameters["MessageGroupId"] for entry in entries}
        return send_in_order(groups, lambda turn: self._send_entries([by_position[one] for one in turn]))

    def _in_requests(self, operation: str, entries: Sequence[Entry], fault_of: FaultOf) -> Faults:
        faults: Faults = {}
        for positions in split([entry.size for entry in entries], BATCH_COUNT_MAXIMUM, MESSAGE_BYTES_MAXIMUM):
            try:
                faults |= self._request(operation, entries[positions.start : positions.stop], fault_of)
            except TransportError:
                if positions.start == 0:
                    raise
                return faults | {entry.position: NOT_TRIED for entry in entries[positions.start :]}
        return faults

    def _request(self, operation: str, entries: Sequence[Entry], fault_of: FaultOf) -> Faults:
        try:
            answer = self._call(
                operation,
                Entries=[{"Id": str(entry.position), **entry.parameters} for entry in entries],
            )
        except RequestRefused as refusal:
            if len(entries) == 1:
                return {entries[0].position: fault_of(refusal.code, sender_fault=True)}
            # one of them spoils the request for all: find it, and do the others
            middle = len(entries) // 2
            first = self._request(operation, entries[:middle], fault_of)
            return first | self._request(operation, entries[middle:], fault_of)
        return self._read(faults_in, answer, [entry.position for entry in entries], fault_of)

    def _call(self, operation: str, **parameters: Any) -> Any:
        return self._called(operation, QueueUrl=self._url(), **parameters)

    def _called(self, operation: str, **parameters: Any) -> Any:
        try:
            client = self._clients.polling if operation == "receive_message" else self._clients.control
            return getattr(client, operation)(**parameters)
        except (ClientError, BotoCoreError, ResponseParserError) as error:
            raise error_from(self.name, error) from None
        except UNREADABLE as error:
            raise foreign_answer(self.name, error) from None

    def _read(self, reader: Callable[..., Answer], *arguments: Any) -> Answer:
        """What the reader makes of an answer; raises `TransportError` where that cannot be SQS's."""
        try:
            return reader(*arguments)
        except UNREADABLE as error:
            raise foreign_answer(self.name, error) from None

    def _url(self) -> str:
        if self._queue_url is None:
            self._queue_url = self._look_up_url()
        return self._queue_url

    def _look_up_url(self) -> str:
        return self._read(url_in, self._called("get_queue_url", QueueName=self.name))

    def _create_queue(self) -> str:
        attributes = {
            "MessageRetentionPeriod": str(whole_seconds(RETENTION_MAXIMUM)),
            "VisibilityTimeout": str(whole_seconds(self._lease, VISIBILITY_MAXIMUM)),
            "MaximumMessageSize": str(MESSAGE_BYTES_MAXIMUM),
            **(NEW_QUEUE if self.is_ordered else {}),
        }
        return self._read(url_in, self._called("create_queue", QueueName=self.name, Attributes=attributes))

    def _queue_attributes(self, names: Sequence[str]) -> dict[str, str]:
        return self._read(attributes_in, self._call("get_queue_attributes", AttributeNames=list(names)))
