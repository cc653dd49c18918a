"""The messages that the worker writes: results, dead letters, retries and copies, each for one queue."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import msgspec

from config.headers import OwnHeader, first_sent, read_own_header
from config.job import RUN_MAXIMUM
from config.settings import Settings
from worker.claim_check import content_mark, is_pointer, offload, plain
from worker.clock import Clock
from worker.conclusion import Reason
from worker.envelope import Identity
from worker.folding import replaced_by, unfold, written
from worker.held import Held
from worker.objects import ObjectStore
from worker.ordering import repeat_id
from worker.symfony.fifo import DEFAULT_GROUP
from worker.symfony.signatures import Signatures
from worker.symfony.writing import Failure, SymfonyWriter
from worker.transports.attributes import decode_attributes, encode_attributes
from worker.transports.base import Attribute, Delivery, Message, Transport
from worker.transports.limits import message_size

ATTRIBUTES_MAXIMUM: Final = 10
OWN_ATTRIBUTES: Final = 1
OWN_ATTRIBUTES_OFFLOADED: Final = 2
REASON_CHARACTERS_MAXIMUM: Final = 500


SignAgain = Callable[[Mapping[str, Attribute], OwnHeader, OwnHeader], OwnHeader]
"""Signs a message that is sent again, by its attributes, our header as it was, and as it will be."""


class TooLarge(Exception):
    """A message is larger than its queue takes and no bucket for claim checks is configured."""


class CannotRetry(Exception):
    """A message of the failure queue cannot be sent again as it came; the text says why."""


@dataclass(frozen=True, slots=True)
class Letters:
    """Writes messages for one queue each; `bucket` takes what is too large for it.

    `symfony` is there where Symfony's consumers read some of them.
    """

    store: ObjectStore
    bucket: str | None
    instance: str
    clock: Clock
    symfony: SymfonyWriter | None = None

    def result(self, queue: Transport, body: str, identity: Identity) -> Message:
        """A result; by claim check under `results/{job_id}/{run}.json` when the queue cannot take it.

        A dry run's is under another name: it must not take the place of the real one.

        Raises:
            TooLarge: it needs a claim check and no bucket is configured.
            ObjectError: the bucket does not answer, or does not take the key.
        """
        trace = identity.trace.attributes() if identity.trace else {}
        message = self.news(body, identity)
        message = replace(
            message, attributes={**trace, **message.attributes}, trace_header=identity.trace_header
        )
        if _fits(queue, message):
            return message
        bucket = self._bucket_for(queue, message)
        name = f"{identity.run}.dry" if identity.dry_run else str(identity.run)
        pointer = offload(message.body, self.store, bucket, f"results/{identity.job_id}/{name}.json")
        return replace(message, body=pointer.body, attributes={**message.attributes, **pointer.attributes})

    def news(self, body: str, identity: Identity) -> Message:
        """A result of a job that is under way: any queue takes it as it is."""
        if self.symfony is None:
            return Message(body, group=identity.partner_id)
        renamed, attributes = self.symfony.result(body)
        return Message(renamed, attributes, group=identity.partner_id)

    def dead_letter(
        self, queue: Transport, held: Held, reason: Reason, identity: Identity | None, *, answered: bool
    ) -> Message:
        """The original message with the reason in our own attribute, perhaps in stamps; raises as `result`.

        What the queue cannot take goes to the bucket: the body, and where that is not enough the attributes.
        """
        delivery = held.delivery
        previous = read_own_header(delivery.headers)
        message = reason.message[:REASON_CHARACTERS_MAXIMUM]
        failure = Failure(held.source.name, reason.code, message, self.clock.now())
        header = msgspec.structs.replace(
            self._failed(previous, failure),
            run=identity.run if identity else previous.run,
            first_sent_at=first_sent(previous, delivery.sent_at),
            attempt=reason.attempt,
            answered=answered,
        )
        attributes = unfold(delivery.attributes, previous)
        original = Message(
            delivery.body,
            attributes,
            group=self._group_of(queue, held, identity),
            trace_header=delivery.trace_header,
            deduplication_id=repeat_id("dead letter", held.source.name, delivery.message_id),
        )
        stamped = self._stamped(queue, original, header, failure)
        return stamped or self._plain(queue, original, header, delivery.message_id)

    def retry(
        self, queue: Transport, letter: Delivery, sign: SignAgain | None = None, *, renew: bool
    ) -> Message:
        """The message of the failure queue as it is sent again: in its next run if it was answered.

        With `renew` its age counts from now; its signature stays as it is, or is what `sign` makes of it.
        Raises as `result` and `sign`, and `CannotRetry`.
        """
        found = read_own_header(letter.headers)
        now = self.clock.now()
        header = OwnHeader(
            run=_run_of_retry(found),
            resends=found.resends,
            first_sent_at=first_sent(found, letter.sent_at),
            retried_at=now,
            renewed_at=now if renew else found.renewed_at,
            signature=found.signature,
        )
        attributes = self._original_attributes(letter, found)
        header = header if sign is None else sign(attributes, found, header)
        original = Message(
            letter.body,
            attributes,
            group=letter.group,
            trace_header=letter.trace_header,
            deduplication_id=repeat_id("retry", letter.message_id),
        )
        message = self._with_header(queue, original, header, f"failed/{plain(letter.message_id)}")
        if not _fits(queue, message):
            raise CannotRetry("its attributes leave no room for the worker's own")
        return message

    def copy(
        self,
        queue: Transport,
        delivery: Delivery,
        not_before: datetime | None,
        delay: timedelta,
        deaths: int | None = None,
    ) -> Message:
        """The same message sent anew after `delay`, not to be run before a moment, if one is given.

        It has the original's body, attributes, group, run and first time of sending; its body goes by claim
        check under `resent/` if it leaves no room for our header. A dry run's tells its `deaths`. Raises as
        `result`.
        """
        previous = read_own_header(delivery.headers)
        header = msgspec.structs.replace(
            previous,
            resends=previous.resends + 1,
            first_sent_at=first_sent(previous, delivery.sent_at),
            not_before=_later(previous.not_before, not_before),
            deaths=previous.deaths if deaths is None else deaths,
        )
        attributes = unfold(delivery.attributes, previous)
        original = Message(
            delivery.body,
            attributes,
            delay,
            delivery.group,
            delivery.trace_header,
            repeat_id("copy", queue.name, delivery.message_id),
        )
        message = self._with_header(queue, original, header, f"resent/{plain(delivery.message_id)}")
        if not _fits(queue, message):
            raise TooLarge(
                f"A message of {queue.name} that has to wait cannot be sent anew: its attributes leave no "
                "room for the worker's own. It is released instead, and may come before its time."
            )
        return message

    def _group_of(self, queue: Transport, held: Held, identity: Identity | None) -> str | None:
        """The original's where its order counts, there or when it is sent again; else its partner's.

        What has neither goes where Symfony's failure transport would put it, if that is who reads it.
        """
        partner_id = identity.partner_id if identity else None
        if not (queue.is_ordered or held.source.is_ordered):
            return partner_id or held.delivery.group
        return held.delivery.group or partner_id or (DEFAULT_GROUP if self.symfony else None)

    def _failed(self, previous: OwnHeader, failure: Failure) -> OwnHeader:
        return msgspec.structs.replace(
            previous,
            origin=failure.queue,
            reason=failure.message,
            code=failure.code,
            instance=self.instance,
            failed_at=failure.failed_at,
        )

    def _stamped(
        self, queue: Transport, original: Message, header: OwnHeader, failure: Failure
    ) -> Message | None:
        """The dead letter with Symfony's stamps; None where there are to be none, or no room for them.

        They must never be what keeps a message from the failure queue; nor does Symfony read claim checks.
        """
        if self.symfony is None or is_pointer(original.body):
            return None
        attributes = self.symfony.failed(original.body, original.attributes, failure)
        if attributes is None:
            return None
        replaced = replaced_by(attributes, original.attributes)
        message = replace(original, attributes=attributes)
        letter = written(message, header, ATTRIBUTES_MAXIMUM - OWN_ATTRIBUTES, replaced)
        return letter if _fits(queue, letter) else None

    def _plain(self, queue: Transport, original: Message, header: OwnHeader, message_id: str) -> Message:
        letter = self._with_header(queue, original, header, f"failed/{plain(message_id)}")
        if _fits(queue, letter):
            return letter
        return self._without_attributes(queue, letter, original, header, message_id)

    def _with_header(self, queue: Transport, original: Message, header: OwnHeader, stem: str) -> Message:
        """The original with our header among its attributes; the body in the bucket where that is needed."""
        message = written(original, header, ATTRIBUTES_MAXIMUM - OWN_ATTRIBUTES)
        if _fits(queue, message) or is_pointer(original.body):
            return message
        message = written(original, header, ATTRIBUTES_MAXIMUM - OWN_ATTRIBUTES_OFFLOADED)
        bucket = self._bucket_for(queue, message)
        key = f"{stem}.{content_mark(original.body)}.json"
        pointer = offload(original.body, self.store, bucket, key)
        attributes = {**message.attributes, **pointer.attributes}
        return replace(message, body=pointer.body, attributes=attributes)

    def _without_attributes(
        self, queue: Transport, letter: Message, original: Message, header: OwnHeader, message_id: str
    ) -> Message:
        """The letter with all of the original's attributes in the bucket: they alone fill a message."""
        bucket = self._bucket_for(queue, letter)
        stored = encode_attributes(original.attributes)
        key = f"failed/{plain(message_id)}.{content_mark(stored)}.attributes.json"
        self.store.put(bucket, key, stored.encode())
        bare = replace(letter, attributes={})
        return written(bare, msgspec.structs.replace(header, attributes_key=key), 0)

    def _original_attributes(self, letter: Delivery, header: OwnHeader) -> dict[str, Attribute]:
        attributes = unfold(letter.attributes, header)
        if header.attributes_key is None or self.bucket is None:
            return attributes
        with self.store.open(self.bucket, header.attributes_key) as stream:
            stored = stream.read()
        try:
            return {**decode_attributes(stored.decode()), **attributes}
        except (msgspec.MsgspecError, ValueError) as error:
            raise CannotRetry("its attributes in the bucket cannot be read") from error

    def _bucket_for(self, queue: Transport, message: Message) -> str:
        if self.bucket is not None:
            return self.bucket
        raise TooLarge(
            f"A message for {queue.name} has {message_size(message)} bytes, more than the "
            f"{queue.message_bytes_maximum} that the queue takes. It is held back, not lost. "
            "Configure [queues] claim_check_bucket."
        )


def open_letters(
    settings: Settings, store: ObjectStore, instance: str, clock: Clock, signatures: Signatures
) -> Letters:
    """Letters as the settings ask for them; `signatures` signs what Symfony's side gets."""
    symfony = SymfonyWriter(settings.symfony, signatures) if settings.symfony.writes_messages else None
    return Letters(store, settings.queues.claim_check_bucket, instance, clock, symfony)


def _fits(queue: Transport, message: Message) -> bool:
    return message_size(message) <= queue.message_bytes_maximum


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((moment for moment in (one, other) if moment is not None), default=None)


def _run_of_retry(header: OwnHeader) -> int | None:
    """The next run after an answer; without one the same, since that one is still to be answered."""
    if not header.answered:
        return header.run
    run = header.run or 1
    if run == RUN_MAXIMUM:
        raise CannotRetry(f"run {run} is the last that there is")
    return run + 1
