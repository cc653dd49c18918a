"""SQS's own forms: messages, their attributes, and the attributes of queues."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from worker.transports.base import Attribute, Delivery, Message
from worker.transports.limits import MESSAGE_BYTES_MAXIMUM, RETENTION_MAXIMUM, RETENTION_USUAL

TRACE_HEADER: Final = "AWSTraceHeader"
USUAL_VISIBILITY: Final = timedelta(seconds=30)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def whole_seconds(duration: timedelta, maximum: timedelta = timedelta.max) -> int:
    """The duration as SQS takes it: in whole seconds, rounded up, at most `maximum`."""
    return math.ceil(min(duration, maximum).total_seconds())


def delivery_from(message: Mapping[str, Any], now: float) -> Delivery:
    """The delivery in a message of a receive's answer, which came at `now` (seconds since 1970).

    Raises an error of `sqs_answers.UNREADABLE` for what is no message of SQS's.
    """
    system = message.get("Attributes", {})
    return Delivery(
        message_id=_text(message["MessageId"]),
        receipt=_text(message["ReceiptHandle"]),
        body=_text(message["Body"]),
        attributes={name: _attribute(value) for name, value in message.get("MessageAttributes", {}).items()},
        receive_count=int(_text(system.get("ApproximateReceiveCount", "1"))),
        sent_at=EPOCH + timedelta(milliseconds=int(system.get("SentTimestamp", now * 1000))),
        group=_optional_text(system.get("MessageGroupId")),
        trace_header=_optional_text(system.get(TRACE_HEADER)),
    )


def _attribute(value: Mapping[str, Any]) -> Attribute:
    data_type = _text(value.get("DataType", "String"))
    binary = value.get("BinaryValue")
    return Attribute(data_type, _text(value.get("StringValue", "")) if binary is None else binary)


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, found a {type(value).__name__}")
    return value


def send_parameters(message: Message) -> dict[str, Any]:
    """A message as the parameters of its entry in a send."""
    parameters: dict[str, Any] = {"MessageBody": message.body, "DelaySeconds": whole_seconds(message.delay)}
    if message.group is not None:
        parameters["MessageGroupId"] = message.group
    if message.trace_header is not None:
        parameters["MessageSystemAttributes"] = {
            TRACE_HEADER: {"DataType": "String", "StringValue": message.trace_header}
        }
    if message.attributes:
        parameters["MessageAttributes"] = {
            name: {"DataType": data_type, _value_key(value): value}
            for name, (data_type, value) in message.attributes.items()
        }
    return parameters


def _value_key(value: str | bytes) -> str:
    return "BinaryValue" if isinstance(value, bytes) else "StringValue"


def retention_from(attributes: Mapping[str, str]) -> timedelta:
    """How long a queue with these attributes keeps a message."""
    return timedelta(seconds=int(attributes.get("MessageRetentionPeriod", RETENTION_USUAL.total_seconds())))


def attribute_faults(attributes: Mapping[str, str]) -> list[str]:
    """What a queue's attributes are not set up for, a sentence each."""
    faults = []
    retention = timedelta(seconds=int(attributes.get("MessageRetentionPeriod", 0)))
    if retention < RETENTION_MAXIMUM:
        faults.append(f"messages are kept for {retention}, expected {RETENTION_MAXIMUM}: older ones vanish")
    if attributes.get("RedrivePolicy"):
        faults.append(
            "there is a redrive policy: SQS moves messages away without a reason and unanswered; remove it"
        )
    visibility = timedelta(seconds=int(attributes.get("VisibilityTimeout", 0)))
    if visibility < USUAL_VISIBILITY:
        faults.append(f"the visibility timeout is {visibility}: others who receive here get messages twice")
    size = int(attributes.get("MaximumMessageSize", MESSAGE_BYTES_MAXIMUM))
    if size < MESSAGE_BYTES_MAXIMUM:
        faults.append(f"messages above {size} bytes are refused, expected a limit of {MESSAGE_BYTES_MAXIMUM}")
    return faults
