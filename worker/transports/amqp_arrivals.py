"""What RabbitMQ says of a message that it delivers: how often before, when it was sent, by which id."""

from datetime import UTC, datetime

from kombu.message import Message as KombuMessage

from worker.transports.kombu_wire import Arrival


def arrival_of(message: KombuMessage, receipt: str, now: float) -> Arrival:
    """What RabbitMQ says of a receive: its counts are of those before, a classic queue's just whether any."""
    headers, properties = message.headers, message.properties
    counts = [headers.get("x-delivery-count"), headers.get("x-acquired-count")]
    before = [count for count in counts if isinstance(count, int) and count >= 0]
    again = int(bool((message.delivery_info or {}).get("redelivered")))
    return Arrival(
        receipt,
        1 + max(before, default=again),
        datetime.fromtimestamp(now, UTC),
        message_id=_text(properties.get("message_id")),
        sent_at=_moment(properties.get("timestamp")),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value and value.isprintable() else None


def _moment(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value
    if isinstance(value, int) and 0 <= value < 2**35:
        return datetime.fromtimestamp(value, UTC)
    return None
