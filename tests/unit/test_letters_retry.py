"""Letters to the failure queue and back: whatever came is sent again as it came, in the right run."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.headers import OWN_ATTRIBUTE, OwnHeader, read_own_header
from config.job import RUN_MAXIMUM
from tests.support.fakes import NOON, ManualTime, MemoryStore, delivery_of
from tests.support.jobs import held_of, job_fields
from tests.support.memory_queue import MemoryPlace, MemoryTransport
from tests.support.settling import REASON, Office, answer
from worker.claim_check import is_pointer, resolve
from worker.conclusion import Bury, Reason
from worker.folding import unfold
from worker.letters import CannotRetry, Letters, TooLarge
from worker.transports.base import Attribute, Delivery, Message
from worker.transports.limits import MESSAGE_BYTES_MAXIMUM, message_fault, message_size

LIMIT = MESSAGE_BYTES_MAXIMUM
POINTER = json.dumps(
    ["software.amazon.payloadoffloading.PayloadS3Pointer", {"s3BucketName": "own", "s3Key": "jobs/1.json"}]
)
ATTRIBUTES_KEY = r"failed/message-1\.[0-9a-f]{16}\.attributes\.json"
SENT = datetime(2026, 11, 20, tzinfo=UTC)

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=40).filter(
    lambda text: not any(ord(one) in (0xFFFE, 0xFFFF) or ord(one) & 0xFFFF >= 0xFFFE for one in text)
)
ATTRIBUTES = st.dictionaries(
    NAMES,
    st.builds(Attribute, st.sampled_from(["String", "String.date", "Number", "Number.int"]), TEXTS)
    | st.builds(Attribute, st.sampled_from(["Binary", "Binary.png"]), st.binary(min_size=1, max_size=40)),
    max_size=10,
)


class Desk:
    """Letters to a failure queue in memory, and back to the request queue."""

    def __init__(self, bucket: str | None = "checks") -> None:
        self.store = MemoryStore()
        self.time = ManualTime()
        self.queue: MemoryTransport = MemoryPlace().transport("failure")
        self.letters = Letters(self.store, bucket, "host:1", self.time.clock)

    def bury(
        self, original: Message, *, answered: bool = True, reason: Reason | None = None, **held: Any
    ) -> Delivery:
        """The dead letter of a message, as the failure queue delivers it."""
        one = held_of(original.body, attributes=original.attributes, sent_at=SENT, **held)
        cause = reason or Reason("schema_defect", "A table is missing.", 5)
        letter = self.letters.dead_letter(self.queue, one, cause, None, answered=answered)
        return self.deliver(letter)

    def retry(self, letter: Delivery, *, renew: bool = False) -> Delivery:
        """The message that a retry sends, as the request queue delivers it."""
        return self.deliver(self.letters.retry(self.queue, letter, renew=renew))

    @staticmethod
    def deliver(message: Message) -> Delivery:
        """The message as a queue delivers it, if one takes it at all."""
        assert message_fault(message) is None
        return delivery_of(message.body, attributes=message.attributes, sent_at=NOON)

    def body(self, delivery: Delivery) -> str:
        """The body, fetched if it is in the bucket."""
        if not is_pointer(delivery.body):
            return delivery.body
        return resolve(delivery.body, self.store, {"checks"}, LIMIT)


def header_of(delivery: Delivery) -> OwnHeader:
    return read_own_header(delivery.headers)


def attributes_of(delivery: Delivery) -> dict[str, Attribute]:
    """The producer's attributes, wherever they found their place."""
    found = unfold(delivery.attributes, header_of(delivery))
    return {name: one for name, one in found.items() if name != "ExtendedPayloadSize"}


def dead_letter_of(header: dict[str, Any]) -> Delivery:
    own = {OWN_ATTRIBUTE: Attribute("String", json.dumps(header))}
    return delivery_of(json.dumps(job_fields()), attributes=own, sent_at=SENT)


class TestWhatComesBack:
    @given(attributes=ATTRIBUTES, free=st.none() | st.integers(0, 3000), reason=TEXTS)
    def test_a_message_is_sent_again_as_it_came(
        self, attributes: dict[str, Attribute], free: int | None, reason: str
    ) -> None:
        """Body and attributes of every type, ten of them, up to the last byte that a queue takes."""
        desk = Desk()
        size = message_size(Message("", attributes))
        body = json.dumps(job_fields()) if free is None else "x" * (LIMIT - size - free)
        original = Message(body, attributes)
        letter = desk.bury(original, reason=Reason("handler_error", reason * 40, 5))
        again = desk.retry(letter)

        assert (desk.body(letter), attributes_of(letter)) == (body, attributes)
        assert (desk.body(again), attributes_of(again)) == (body, attributes)
        assert header_of(letter).code == "handler_error"

    def test_ten_attributes_without_a_string_are_all_kept(self) -> None:
        """A number stays a number and bytes stay bytes: neither is read as a header afterwards."""
        attributes = {f"picture-{number}": Attribute("Binary", bytes([number] * 9)) for number in range(9)}
        attributes["count"] = Attribute("Number", "7")
        letter = Desk().bury(Message("no json", attributes))

        assert attributes_of(letter) == attributes
        assert header_of(letter).folded_others == {"count": ("Number", "7")}
        assert header_of(letter).folded == {}

    def test_attributes_that_fill_a_message_alone_go_to_the_bucket(self) -> None:
        """With them no body, however small, would leave room for the reason; a retry has them again."""
        desk = Desk()
        attributes = {"h": Attribute("String", "x" * (LIMIT - 500)), "n": Attribute("Number", "7")}
        letter = desk.bury(Message("x" * 400, attributes), reason=Reason("handler_error", "long " * 100))

        assert re.fullmatch(ATTRIBUTES_KEY, header_of(letter).attributes_key or "")
        assert attributes_of(desk.retry(letter)) == attributes

    def test_attributes_that_leave_no_room_at_all_cannot_be_retried(self) -> None:
        """Nothing is cut off and sent: the error says what is in the way."""
        desk = Desk()
        attributes = {"h": Attribute("String", "x" * (LIMIT - 20))}
        letter = desk.bury(Message("x", attributes))

        with pytest.raises(CannotRetry, match="no room"):
            desk.retry(letter)

    def test_attributes_of_a_forged_key_are_no_attributes(self) -> None:
        """What lies there is something else."""
        desk = Desk()
        desk.store.put("checks", "results/job-1/1.json", b'{"job_id": "job-1"}')
        with pytest.raises(CannotRetry, match="cannot be read"):
            desk.retry(dead_letter_of({"attributes_key": "results/job-1/1.json"}))

    def test_a_claim_check_stays_the_one_that_it_was(self) -> None:
        """A reference is never put behind another one, however little room there is."""
        desk = Desk()
        attributes = {"h": Attribute("String", "x" * (LIMIT - len(POINTER) - 1 - 6))}
        letter = desk.bury(Message(POINTER, attributes))

        assert letter.body == POINTER
        ((_, key),) = desk.store.objects
        assert re.fullmatch(ATTRIBUTES_KEY, key)

    def test_without_a_bucket_what_is_too_large_cannot_be_retried(self) -> None:
        """As SQS's own redrive policy leaves it: no room for our header, and nowhere to put the body."""
        with pytest.raises(TooLarge, match="claim_check_bucket"):
            Desk(bucket=None).retry(delivery_of("x" * LIMIT))

    def test_folding_that_others_wrote_stops_nothing(self) -> None:
        """What no queue would take is left out, and the message goes its way."""
        others = {"a": ["Binary", "?"], "b": ["Number", "1"], "c": ["Binary", "\u00fc"], "d": ["Any", "x"]}
        again = Desk().retry(dead_letter_of({"folded": {"e": "", "no name": "x"}, "folded_others": others}))

        assert attributes_of(again) == {"b": Attribute("Number", "1")}


class TestRuns:
    def test_what_was_answered_is_asked_for_in_its_next_run(self) -> None:
        """Whatever run it had."""
        desk = Desk()
        letter = desk.bury(Message("{}"), header={"run": 3})

        assert header_of(desk.retry(letter)).run == 4

    def test_what_was_not_answered_is_asked_for_in_the_same_run(self) -> None:
        """The answer to that run is still due."""
        desk = Desk()
        letter = desk.bury(Message("{}"), answered=False, header={"run": 3})

        assert header_of(desk.retry(letter)).run == 3

    def test_what_sqs_moved_away_itself_keeps_its_run(self) -> None:
        """No reason of ours is on it, so nobody knows of an answer."""
        assert header_of(Desk().retry(delivery_of("{}"))).run is None
        assert (
            header_of(Desk().retry(dead_letter_of({"run": 2, "retried_at": "2026-11-20T00:00:00Z"}))).run == 2
        )

    def test_two_retries_of_one_failure_ask_for_the_same_run(self) -> None:
        """So that the inbox joins them."""
        desk = Desk()
        letter = desk.bury(Message("{}"))

        assert header_of(desk.retry(letter)).run == header_of(desk.retry(letter)).run == 2

    def test_the_reason_of_the_last_failure_goes(self) -> None:
        """If SQS moves the retried message away itself, nobody takes it for answered."""
        desk = Desk()
        again = desk.retry(desk.bury(Message("{}")))

        assert header_of(again) == OwnHeader(run=2, first_sent_at=SENT, retried_at=NOON)
        assert header_of(desk.bury(Message("{}", again.attributes), answered=False)).answered is False

    def test_a_run_beyond_the_last_is_refused(self) -> None:
        """A header with it could not be read."""
        with pytest.raises(CannotRetry, match="last"):
            Desk().retry(dead_letter_of({"run": RUN_MAXIMUM, "answered": True}))


class TestAge:
    def test_a_retry_is_as_old_as_the_job(self) -> None:
        """The rows of the parts that succeeded get no younger by it."""
        desk = Desk()
        letter = desk.bury(Message("{}"))
        desk.time.pass_time(3600)
        again = desk.retry(letter)

        assert header_of(again).first_sent_at == SENT
        assert header_of(again).renewed_at is None

    def test_an_age_that_was_renewed_counts_from_then(self) -> None:
        """Also in the retries after it."""
        desk = Desk()
        once = desk.retry(desk.bury(Message("{}")), renew=True)
        desk.time.pass_time(3600)
        twice = desk.retry(desk.bury(Message("{}", once.attributes)))

        assert header_of(once).renewed_at == header_of(twice).renewed_at == NOON


def test_a_dead_letter_says_whether_its_run_was_answered() -> None:
    """The settler knows: a result went before it, or none."""
    office = Office()
    office.settle(answer(REASON))
    office.settle(Bury(REASON))
    office.run()

    assert [header_of(letter).answered for letter in office.failure.browse(10)] == [False, True]
