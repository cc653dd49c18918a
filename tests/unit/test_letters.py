"""Letters: dead letters that keep the original whole, and the way round a queue's size limit."""

import json
import re

import pytest

from config.headers import read_headers, read_own_header
from tests.support.fakes import NOON, ManualTime, MemoryStore
from tests.support.jobs import envelope_of, held_of, job_fields
from tests.support.memory_queue import MemoryPlace, MemoryTransport
from worker.claim_check import content_mark
from worker.conclusion import Reason
from worker.envelope import identity_of
from worker.held import Held
from worker.letters import ATTRIBUTES_MAXIMUM, Letters, TooLarge
from worker.transports.base import Attribute, Message
from worker.transports.limits import message_fault

REASON = Reason("schema_defect", "A table is missing.", 5)


def string(value: str) -> Attribute:
    return Attribute("String", value)


class Desk:
    """Letters to a failure queue in memory."""

    def __init__(self, bucket: str | None = "checks") -> None:
        self.store = MemoryStore()
        self.queue: MemoryTransport = MemoryPlace().transport("failure")
        self.letters = Letters(self.store, bucket, "host:1", ManualTime().clock)

    def bury(self, held: Held, reason: Reason = REASON) -> Message:
        """The dead letter; a queue takes it as it is."""
        letter = self.letters.dead_letter(
            self.queue, held, reason, identity_of(envelope_of(held)), answered=True
        )
        assert message_fault(letter) is None
        return letter


def own(message: Message) -> dict[str, object]:
    """Our own attribute of a message."""
    fields: dict[str, object] = json.loads(str(message.attributes["Shardworker"].value))
    return fields


def headers(message: Message) -> dict[str, str]:
    return {
        name: attribute.value
        for name, attribute in message.attributes.items()
        if attribute.data_type == "String" and isinstance(attribute.value, str)
    }


def test_a_dead_letter_holds_the_original_and_all_that_is_known_of_its_end() -> None:
    """Body and attributes as they were; reason, code, attempt, origin, run, first sending, who and when."""
    held = held_of(
        job_fields(run=3), attributes={"type": string("App\\Order"), "n": Attribute("Number", "7")}
    )
    letter = Desk().bury(held)

    assert letter.body == held.delivery.body
    assert {name: letter.attributes[name] for name in ("type", "n")} == held.delivery.attributes
    assert letter.group == "acme"
    assert own(letter) == {
        "run": 3,
        "first_sent_at": "2026-11-21T12:00:00Z",
        "origin": "requests",
        "reason": "A table is missing.",
        "code": "schema_defect",
        "attempt": 5,
        "instance": "host:1",
        "failed_at": "2026-11-21T12:00:00Z",
        "answered": True,
    }


def test_the_first_sending_is_kept_through_every_resend() -> None:
    """The age of a job is counted from its first message, not from the last copy of it."""
    held = held_of(job_fields(), header={"first_sent_at": "2026-11-01T00:00:00Z", "resends": 2})

    assert own(Desk().bury(held))["first_sent_at"] == "2026-11-01T00:00:00Z"
    assert own(Desk().bury(held))["resends"] == 2


def test_a_message_that_is_no_job_is_buried_as_well() -> None:
    """Without run, partner or group."""
    desk = Desk()
    held = held_of("no json")
    letter = desk.letters.dead_letter(
        desk.queue, held, Reason("bad_message", "No JSON."), None, answered=False
    )

    assert (letter.body, letter.group, own(letter)["code"]) == ("no json", None, "bad_message")
    assert "run" not in own(letter)


@pytest.mark.parametrize("count", range(12))
def test_no_header_is_lost_where_ten_attributes_are_the_limit(count: int) -> None:
    """What has no room beside our own attribute is folded into it; readers find all of them."""
    attributes = {f"header-{number}": string(f"value {number}") for number in range(count)}
    letter = Desk().bury(held_of(job_fields(), attributes=attributes))
    found = read_headers(headers(letter))

    assert len(letter.attributes) <= ATTRIBUTES_MAXIMUM
    assert {name: found.get(name) for name in attributes} == {name: a.value for name, a in attributes.items()}


def test_headers_that_were_folded_before_stay_when_the_message_is_buried_again() -> None:
    """A retry from the failure queue that fails again: the second dead letter still has every header."""
    attributes = {f"header-{number}": string(f"value {number}") for number in range(10)}
    first = Desk().bury(held_of(job_fields(), attributes=attributes))
    second = Desk().bury(held_of(first.body, attributes=first.attributes))
    found = read_headers(headers(second))

    assert {name: found.get(name) for name in attributes} == {name: a.value for name, a in attributes.items()}


def test_numbers_and_bytes_keep_their_places() -> None:
    """They cannot be folded into text without losing their type: strings make room for them."""
    attributes = {f"header-{number}": string("x") for number in range(9)}
    others = {"picture": Attribute("Binary", b"\x00"), "count": Attribute("Number", "7")}
    letter = Desk().bury(held_of(job_fields(), attributes={**attributes, **others}))

    assert {name: letter.attributes.get(name) for name in others} == others
    assert set(read_own_header(headers(letter)).folded) == {"header-7", "header-8"}


def test_a_long_reason_is_cut() -> None:
    """An attribute is no place for a report."""
    letter = Desk().bury(held_of(job_fields()), Reason("bad_message", "x" * 5000))

    assert len(str(own(letter)["reason"])) == 500


def test_a_dead_letter_that_is_too_large_goes_by_claim_check() -> None:
    """Its ten attributes have room for the check's size."""
    desk = Desk()
    attributes = {f"header-{number}": string("x") for number in range(10)}
    body = json.dumps(job_fields(payload="x" * (desk.queue.message_bytes_maximum - 200)))
    letter = desk.bury(held_of(body, attributes=attributes))

    assert desk.store.objects == {("checks", f"failed/message-1.{content_mark(body)}.json"): body.encode()}
    assert letter.attributes["ExtendedPayloadSize"] == Attribute("Number", str(len(body)))
    assert len(letter.attributes) <= ATTRIBUTES_MAXIMUM


def test_who_chooses_the_message_id_chooses_no_key() -> None:
    """RabbitMQ leaves it to the sender: no other folder is written to, and no other content is replaced."""
    desk = Desk()
    for message_id in ("../results/job-1/1", "/etc", "a\0", "x" * 129, "again", "again"):
        body = json.dumps(job_fields(payload=f"{len(desk.store.objects)}" * desk.queue.message_bytes_maximum))
        desk.bury(held_of(body, message_id=message_id))
    keys = [key for _, key in desk.store.objects]

    assert len(keys) == 6
    assert all(re.fullmatch(r"failed/[A-Za-z0-9_-]{1,128}\.[0-9a-f]{16}\.json", key) for key in keys)


def test_without_a_bucket_a_letter_that_is_too_large_cannot_be_written() -> None:
    """The error says what to configure, and nothing of the content."""
    desk = Desk(bucket=None)
    held = held_of(job_fields(payload="s3cret" * 200_000))
    with pytest.raises(TooLarge, match="claim_check_bucket") as error:
        desk.letters.dead_letter(desk.queue, held, REASON, None, answered=True)

    assert "s3cret" not in str(error.value)


def test_a_result_belongs_to_its_partner_s_group() -> None:
    """So that one partner's many results do not hold up another's few."""
    desk = Desk()
    result = desk.letters.result(desk.queue, "{}", identity_of(envelope_of(held_of(job_fields()))))

    assert result == Message(body="{}", group="acme")


def test_the_time_of_failure_is_the_clock_s() -> None:
    """Not the message's."""
    assert own(Desk().bury(held_of(job_fields())))["failed_at"] == NOON.isoformat().replace("+00:00", "Z")
