"""The messages on the failure queue, read for people: what they were and why they ended there."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from config.headers import REASON_CHARACTERS_MAXIMUM, OwnHeader, first_sent, read_headers, read_own_header
from config.settings import Settings
from config.stamps import ERROR_DETAILS, Stamps
from config.text import clip
from worker.cli.bodies import full_body, text_of
from worker.cli.common import open_queue
from worker.envelope import readable_fields
from worker.transports.base import Delivery


@dataclass(frozen=True, slots=True)
class FailedMessage:
    """One message of the failure queue. What cannot be read of a foreign body is None.

    `header` is ours, `stamps` are Symfony's. Where Symfony gave the message up, the code and the reason in
    the header are those of its stamps: the class and the message of its exception.
    """

    delivery: Delivery = field(repr=False)
    job_id: str | None
    partner_id: str | None
    job_type: str | None
    header: OwnHeader
    stamps: Stamps
    body: str = field(repr=False)

    @property
    def message_id(self) -> str:
        """Its id on the failure queue."""
        return self.delivery.message_id

    @property
    def headers(self) -> dict[str, str]:
        """Its headers, ours among them."""
        return self.delivery.headers

    @property
    def failed_at(self) -> datetime:
        """When it failed: never after it was sent to this queue, whoever says so."""
        return min(self.header.failed_at or self.delivery.sent_at, self.delivery.sent_at)

    def summary(self) -> dict[str, Any]:
        """The fields of a list's line, as JSON names them."""
        return {
            "id": self.message_id,
            "job_id": self.job_id,
            "run": self.header.run,
            "partner_id": self.partner_id,
            "type": self.job_type,
            "code": self.header.code,
            "reason": self.header.reason,
            "attempt": self.header.attempt,
            "answered": self.header.answered,
            "first_sent_at": first_sent(self.header, self.delivery.sent_at),
            "failed_at": self.failed_at,
            "origin": self.header.origin,
            "receiver": self.stamps.original_receiver,
            "retry_count": self.stamps.retry_count_maximum,
        }


def failed_messages(settings: Settings, maximum: int) -> Iterator[FailedMessage]:
    """Up to `maximum` messages of the failure queue; they stay there. Raises `TransportError`."""
    with open_queue(settings.queues.failure, settings) as queue:
        deliveries = queue.browse(maximum)
    for delivery in deliveries:
        yield read_failed(settings, delivery)


def read_failed(settings: Settings, delivery: Delivery) -> FailedMessage:
    """What a delivery of the failure queue says; its body fetched where it lies in a bucket."""
    body = full_body(settings, delivery.body)
    fields = readable_fields(body, delivery.headers, settings.symfony)
    stamps = Stamps.read(read_headers(delivery.headers))
    return FailedMessage(
        delivery=delivery,
        job_id=text_of(fields.get("job_id")),
        partner_id=text_of(fields.get("partner_id")),
        job_type=text_of(fields.get("type")),
        header=_with_error(read_own_header(delivery.headers), stamps),
        stamps=stamps,
        body=body,
    )


def _with_error(header: OwnHeader, stamps: Stamps) -> OwnHeader:
    error = stamps.last(ERROR_DETAILS)
    if header.code is not None or error is None:
        return header
    return msgspec.structs.replace(
        header,
        code=_clipped(error.get("exceptionClass")),
        reason=_clipped(error.get("exceptionMessage")),
    )


def _clipped(value: Any) -> str | None:
    return clip(value, REASON_CHARACTERS_MAXIMUM) if isinstance(value, str) else None
