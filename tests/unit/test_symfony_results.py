"""Results for Symfony: its class and bus beside the body, its names in it, and no value changed."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.result import Progress, decode_result
from config.symfony import Symfony
from tests.support.jobs import envelope_of, held_of, job_fields
from tests.support.symfony_letters import BUS, KEY, SymfonyDesk, headers_of, key_file
from worker.answers import rejected, running
from worker.claim_check import is_pointer
from worker.conclusion import Answer
from worker.envelope import identity_of
from worker.symfony.signing import is_signed_right
from worker.symfony.writing import rename_fields
from worker.transports.base import Attribute, Message
from worker.transports.limits import MESSAGE_BYTES_MAXIMUM

CLASS = "App\\Message\\JobResult"
NAMES = {"job_id": "jobId", "partner_id": "partnerId", "received_at": "receivedAt"}
IDENTITY = identity_of(envelope_of(held_of(job_fields())))
NOW = SymfonyDesk().time.clock.now()
REFUSED = rejected(IDENTITY, "expired", "It came too late.", NOW, NOW)


def written(desk: SymfonyDesk, answer: Answer = REFUSED) -> Message:
    """The result as it is sent."""
    return desk.letters.result(desk.queue, answer.body, IDENTITY)


def test_a_result_names_its_class() -> None:
    """In the attributes that Symfony's serializer looks for; the body is the one of every other consumer."""
    message = written(SymfonyDesk(result_class=CLASS))

    assert message.attributes == {
        "type": Attribute("String", CLASS),
        "Content-Type": Attribute("String", "application/json"),
    }
    assert message.body == REFUSED.body


def test_a_bus_is_named_in_a_stamp() -> None:
    """As the JSON text of a list, which is what Symfony reads."""
    message = written(SymfonyDesk(result_class=CLASS, bus="results.bus"))

    assert headers_of(message.attributes)[BUS] == '[{"busName":"results.bus"}]'
    assert json.loads(str(message.attributes["X-Symfony-Messenger"].value)).keys() == {BUS}


def test_news_of_a_running_job_are_messages_of_the_same_class() -> None:
    """A consumer has one class for all of them."""
    desk = SymfonyDesk(result_class=CLASS, result_fields=NAMES)
    message = desk.letters.news(running(IDENTITY, Progress(done=1, total=3), (), NOW), IDENTITY)

    assert message.attributes["type"].value == CLASS
    assert json.loads(message.body)["jobId"] == IDENTITY.job_id


def test_without_the_section_a_result_is_as_before() -> None:
    """No attribute, and the body's own bytes."""
    assert written(SymfonyDesk()) == Message(REFUSED.body, group="acme")


def test_fields_have_the_names_of_the_class() -> None:
    """In the order of before, the values byte for byte."""
    message = written(SymfonyDesk(result_class=CLASS, result_fields=NAMES))
    renamed = {NAMES.get(name, name): value for name, value in json.loads(REFUSED.body).items()}

    assert list(json.loads(message.body).items()) == list(renamed.items())
    assert rename_fields(message.body, {theirs: ours for ours, theirs in NAMES.items()}) == REFUSED.body


@pytest.mark.parametrize("bus", [None, "results.bus"])
def test_a_result_is_signed_where_its_class_is(tmp_path: Path, bus: str | None) -> None:
    """With its own fields' names and its stamps in what is signed."""
    section: dict[str, Any] = {"signed_types": ["App\\*"], "sign_key_files": [key_file(tmp_path)]}
    desk = SymfonyDesk(result_class=CLASS, result_fields=NAMES, bus=bus, **section)
    message = written(desk)
    headers = headers_of(message.attributes)

    assert is_signed_right(message.body, headers, KEY)
    assert not is_signed_right(message.body, {**headers, "type": "App\\Other"}, KEY)


def test_a_key_alone_signs_nothing(tmp_path: Path) -> None:
    """A signature costs time, and who verifies none needs none."""
    message = written(SymfonyDesk(result_class=CLASS, sign_key_files=[key_file(tmp_path)]))

    assert "Body-Sign" not in message.attributes


def test_a_result_by_claim_check_keeps_its_class_and_the_signature_of_what_it_stands_for(
    tmp_path: Path,
) -> None:
    """Whoever resolves the reference has before him what was written."""
    desk = SymfonyDesk(result_class=CLASS, signed_types=[CLASS], sign_key_files=[key_file(tmp_path)])
    body = msgspec.json.encode({"job_id": "x" * MESSAGE_BYTES_MAXIMUM}).decode()
    message = desk.letters.result(desk.queue, body, IDENTITY)
    (stored,) = desk.store.objects.values()

    assert is_pointer(message.body)
    assert is_signed_right(stored.decode(), headers_of(message.attributes), KEY)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*NAMES, "status", "customers", "x"]), VALUES))
def test_renaming_changes_names_and_nothing_else(fields: dict[str, object]) -> None:
    """Numbers keep their digits, texts their escapes; and the names can be put back."""
    body = json.dumps(fields, separators=(",", ":"))
    renamed = rename_fields(body, NAMES)

    assert rename_fields(renamed, {theirs: ours for ours, theirs in NAMES.items()}) == body
    assert json.dumps(json.loads(renamed), separators=(",", ":")) == renamed


def test_a_renamed_result_is_still_one() -> None:
    """Its names put back, the worker's own commands read it."""
    renamed = rename_fields(REFUSED.body, NAMES)

    read = decode_result(rename_fields(renamed, {theirs: ours for ours, theirs in NAMES.items()}))
    assert read.job_id == IDENTITY.job_id


def test_a_section_that_writes_nothing_costs_nothing() -> None:
    """Reading alone needs no writer."""
    assert not Symfony(types={CLASS: "x"}).writes_messages
    assert Symfony(result_class=CLASS).writes_messages
