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
from worker.transports.base import Attribute, Message, Transport
from worker.transports.limits import message_size

ATTRIBUTES_MAXIMUM: Final = 10
OWN_ATTRIBUTES: Final = 1
OWN_ATTRIBUTES_OFFLOADED: Final = 2
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
        letter = self._letter(held, reason, identity, OWN_ATTRIBUTES)
        if message_size(letter) > queue.message_bytes_maximum:
            letter = self._letter(held, reason, identity, OWN_ATTRIBUTES_OFFLOADED)
        return self._fitting(queue, letter, f"failed/{held.delivery.message_id}.json")

    def _letter(self, held: Held, reason: Reason, identity: Identity | None, own: int) -> Message:
        delivery = held.delivery
        previous = read_own_header(delivery.headers)
        attributes = {name: value for name, value in delivery.attributes.items() if name != OWN_ATTRIBUTE}
        kept, folded = _fold(attributes, ATTRIBUTES_MAXIMUM - own)
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
            folded={**previous.folded, **folded},
        )
        kept[OWN_ATTRIBUTE] = Attribute("String", write_own_header(header))
        group = identity.partner_id if identity else None
        return Message(body=delivery.body, attributes=kept, group=group)

    def _fitting(self, queue: Transport, message: Message, key: str) -> Message:
        if message_size(message) <= queue.message_bytes_maximum:
            return message
        if self.bucket is None:
            raise TooLarge(
                f"A message for {queue.name} has {message_size(message)} bytes, more than the "
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


def _fold(attributes: Mapping[str, Attribute], places: int) -> tuple[dict[str, Attribute], dict[str, str]]:
    """The attributes that stay as they are, and those that go into our own one: SQS takes ten in all."""
    # Only strings can be folded and keep their type: the others stay, wherever they stood.
    items = sorted(attributes.items(), key=lambda item: item[1].data_type == "String")
    folded = {name: value for name, (_, value) in items[places:] if isinstance(value, str)}
    return dict(items[:places]), folded
