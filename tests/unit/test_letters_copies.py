"""Letters to oneself: the copy of a message that waits is that message, with its wait in our header."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.headers import OWN_ATTRIBUTE, OwnHeader, read_own_header, write_own_header
from tests.support.fakes import ManualTime, MemoryStore
from tests.support.jobs import held_of, job_fields
from tests.support.memory_queue import MemoryPlace, MemoryTransport
from worker.conclusion import Reason
from worker.folding import unfold
from worker.letters import Letters, TooLarge
from worker.transports.base import Attribute, Delivery, Message
from worker.transports.limits import MESSAGE_BYTES_MAXIMUM, message_fault

POINTER = json.dumps(
    ["software.amazon.payloadoffloading.PayloadS3Pointer", {"s3BucketName": "own", "s3Key": "jobs/1.json"}]
)
SENT = datetime(2026, 11, 20, tzinfo=UTC)
DUE = datetime(2026, 12, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BODY = json.dumps(job_fields())

ATTRIBUTES = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True),
    st.builds(Attribute, st.sampled_from(["String", "String.date"]), st.text("aé\n", min_size=1, max_size=9))
    | st.builds(Attribute, st.just("Number"), st.integers().map(str))
    | st.builds(Attribute, st.sampled_from(["Binary", "Binary.png"]), st.binary(min_size=1, max_size=40)),
    max_size=10,
)
MOMENTS = st.none() | st.datetimes(timezones=st.just(UTC))


class Desk:
    """Copies on their way through a request queue in memory."""

    def __init__(self, bucket: str | None = None) -> None:
        self.queue: MemoryTransport = MemoryPlace().transport("requests")
        self.letters = Letters(MemoryStore(), bucket, "host:1", ManualTime().clock)

    def deliver(self, message: Message, group: str | None = None) -> Delivery:
        """The message as a queue delivers it."""
        held = held_of(message.body, attributes=message.attributes, sent_at=SENT)
        return Delivery("id-1", "receipt", message.body, held.delivery.attributes, 3, SENT, group)

    def copy(self, delivery: Delivery, not_before: datetime | None = None) -> Message:
        """The copy; a queue takes it as it is."""
        copy = self.letters.copy(self.queue, delivery, not_before, MINUTE)
        assert message_fault(copy) is None
        return copy


@given(attributes=ATTRIBUTES, run=st.none() | st.integers(1, 9), moments=st.lists(MOMENTS, max_size=4))
def test_however_often_it_is_copied_a_message_stays_what_it_was(
    attributes: dict[str, Attribute], run: int | None, moments: list[datetime | None]
) -> None:
    """Body, attributes of every type, group and run; only its own count and its last moment change."""
    desk = Desk()
    header = OwnHeader() if run is None else OwnHeader(run=run, retried_at=SENT, renewed_at=SENT)
    own = {} if run is None else {OWN_ATTRIBUTE: Attribute("String", write_own_header(header))}
    original = Message(BODY, {**dict(list(attributes.items())[:9]), **own} if own else attributes)
    delivery = desk.deliver(original, group="acme")
    for moment in moments:
        copy = desk.copy(delivery, moment)
        assert (copy.body, copy.group, copy.delay) == (BODY, "acme", MINUTE)
        delivery = desk.deliver(copy, group="acme")

    found = read_own_header(delivery.headers)
    kept = {name: one for name, one in original.attributes.items() if name != OWN_ATTRIBUTE}
    assert unfold(delivery.attributes, found) == kept
    assert (found.run, found.retried_at, found.renewed_at) == (run, header.retried_at, header.renewed_at)
    assert found.resends == len(moments)
    assert found.first_sent_at == (SENT if moments else None)
    assert found.not_before == max((moment for moment in moments if moment), default=None)


def test_a_reference_to_a_body_stays_one() -> None:
    """What it refers to is neither read nor written."""
    size = Attribute("Number", "2000000")
    copy = Desk("checks").copy(Desk().deliver(Message(POINTER, {"ExtendedPayloadSize": size})))

    assert copy.body == POINTER
    assert copy.attributes["ExtendedPayloadSize"] == size


def test_attributes_that_fill_a_message_cannot_be_copied() -> None:
    """The caller is told, and releases the message."""
    filling = Message("{}", {"x": Attribute("String", "x" * (MESSAGE_BYTES_MAXIMUM - 10))})

    with pytest.raises(TooLarge, match="released instead"):
        Desk("checks").copy(Desk().deliver(filling))


def test_an_operator_s_retry_waits_for_nothing() -> None:
    """A message that was to wait and came to the failure queue instead is run at once when it is retried."""
    desk = Desk()
    waiting = desk.deliver(desk.copy(desk.deliver(Message(BODY)), DUE))
    held = held_of(BODY, attributes=waiting.attributes)
    letter = desk.letters.dead_letter(desk.queue, held, Reason("too_old", "Old."), None, answered=False)
    retried = desk.deliver(desk.letters.retry(desk.queue, desk.deliver(letter), renew=True))

    assert read_own_header(waiting.headers).not_before == DUE
    assert read_own_header(retried.headers).not_before is None
    assert read_own_header(retried.headers).resends == 1


def test_no_copy_makes_its_message_younger() -> None:
    """A first sending after the message was sent is none: else each copy would count its age anew."""
    desk = Desk()
    own = write_own_header(OwnHeader(first_sent_at=DUE))
    message = Message(BODY, {OWN_ATTRIBUTE: Attribute("String", own)})
    copy = desk.copy(desk.deliver(message))

    assert read_own_header(desk.deliver(copy).headers).first_sent_at == SENT
