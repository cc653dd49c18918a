"""The messages that the worker writes: results, dead letters, and their way round the queue's size limit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from config.headers import OWN_ATTRIBUTE, read_own_header, write_own_header
from worker.claim_check import offload
from worker.clock import Clock
from worker.conclusion import Reason
from worker.envelope import Identity
from worker.held import Held
from worker.objects import ObjectStore
from worker.transports.base import Attribute, Delivery, Message, Transport

ATTRIBUTES_MAXIMUM: Final = 10
REASON_CHARACTERS_MAXIMUM: Final = 500

log = structlog.get_logger()


class TooLarge(Exception):
    """A message is larger than its queue takes and no bucket for claim checks is configured."""


@dataclass(frozen=True, slots=True)
class Letters:
    """Writes messages for one queue each; `bucket` takes what is too large for it."""

    store: ObjectStore
    bucket: str | None
    instance: str
    clock: Clock

    def result(self, queue: Transport, body: str, identity: Identity) -> Message:
        """A result; by claim check under `results/{job_id}/{run}.json` when the queue cannot take it.

        Raises:
            TooLarge: it needs a claim check and no bucket is configured.
            ObjectError: the bucket does not answer, or does not take the key.
        """
        message = Message(body=body, group=identity.partner_id)
        return self._fitting(queue, message, f"results/{identity.job_id}/{identity.run}.json")

    def dead_letter(self, queue: Transport, held: Held, reason: Reason, identity: Identity | None) -> Message:
        """The original message with the reason in our own attribute; raises as `result`."""
        delivery = held.delivery
        previous = read_own_header(delivery.headers)
        attributes = {name: value for name, value in delivery.attributes.items() if name != OWN_ATTRIBUTE}
        kept, folded = _fold(attributes, self._own_places(queue, delivery))
        header = msgspec.structs.replace(
            previous,
            run=identity.run if identity else previous.run,
            first_sent_at=previous.first_sent_at or delivery.sent_at,
            origin=held.source.name,
            reason=reason.message[:REASON_CHARACTERS_MAXIMUM],
            code=reason.code,
            attempt=reason.attempt,
            instance=self.instance,
            failed_at=self.clock.now(),
            folded=folded,
        )
        kept[OWN_ATTRIBUTE] = Attribute("String", write_own_header(header))
        group = identity.partner_id if identity else None
        message = Message(body=delivery.body, attributes=kept, group=group)
        return self._fitting(queue, message, f"failed/{delivery.message_id}.json")

    def _own_places(self, queue: Transport, delivery: Delivery) -> int:
        # Our own attribute, and the claim check's size where the body is likely to need one.
        return 1 if len(delivery.body) < queue.message_bytes_maximum // 4 else 2

    def _fitting(self, queue: Transport, message: Message, key: str) -> Message:
        if message_bytes(message) <= queue.message_bytes_maximum:
            return message
        if self.bucket is None:
            raise TooLarge(
                f"A message for {queue.name} has {message_bytes(message)} bytes, more than the "
                f"{queue.message_bytes_maximum} that the queue takes. It is held back, not lost. "
                "Configure [queues] claim_check_bucket."
            )
        pointer = offload(message.body, self.store, self.bucket, key)
        return Message(
            body=pointer.body,
            attributes={**message.attributes, **pointer.attributes},
            delay=message.delay,
            group=message.group,
        )


def message_bytes(message: Message) -> int:
    """The message's size as SQS counts it: the body, and the attributes' names, types and values."""
    total = len(message.body.encode())
    for name, attribute in message.attributes.items():
        value = attribute.value.encode() if isinstance(attribute.value, str) else attribute.value
        total += len(name.encode()) + len(attribute.data_type.encode()) + len(value)
    return total


def _fold(
    attributes: Mapping[str, Attribute], own_places: int
) -> tuple[dict[str, Attribute], dict[str, str]]:
    """The attributes that stay as they are, and those that go into our own one: SQS takes ten in all."""
    items = list(attributes.items())
    kept, beyond = items[: ATTRIBUTES_MAXIMUM - own_places], items[ATTRIBUTES_MAXIMUM - own_places :]
    return dict(kept), {name: value for name, (_, value) in beyond if isinstance(value, str)}
