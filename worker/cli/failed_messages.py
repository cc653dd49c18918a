"""The messages on the failure queue, read for people: what they were and why they ended there."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from config.headers import OwnHeader, read_own_header
from config.settings import Settings
from worker.cli.bodies import fields_of, full_body, text_of
from worker.cli.common import open_queue
from worker.transports.base import Delivery


@dataclass(frozen=True, slots=True)
class FailedMessage:
    """One message of the failure queue. What cannot be read of a foreign body is None."""

    message_id: str
    job_id: str | None
    partner_id: str | None
    job_type: str | None
    sent_at: datetime
    header: OwnHeader
    headers: dict[str, str]
    body: str

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
            "failed_at": self.header.failed_at or self.sent_at,
            "origin": self.header.origin,
        }


def failed_messages(settings: Settings, maximum: int) -> Iterator[FailedMessage]:
    """Up to `maximum` messages of the failure queue; they stay there. Raises `TransportError`."""
    with open_queue(settings.queues.failure, settings) as queue:
        deliveries = queue.browse(maximum)
    for delivery in deliveries:
        yield _read(settings, delivery)


def _read(settings: Settings, delivery: Delivery) -> FailedMessage:
    body = full_body(settings, delivery.body)
    fields = fields_of(body)
    return FailedMessage(
        message_id=delivery.message_id,
        job_id=text_of(fields.get("job_id")),
        partner_id=text_of(fields.get("partner_id")),
        job_type=text_of(fields.get("type")),
        sent_at=delivery.sent_at,
        header=read_own_header(delivery.headers),
        headers=dict(delivery.headers),
        body=body,
    )
