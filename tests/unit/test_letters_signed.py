"""Signed jobs as the worker sends them anew: what it writes beside the signature leaves it right."""

from datetime import timedelta
from pathlib import Path

import pytest

from config.headers import read_own_header
from config.signing import Signing
from config.symfony import Symfony
from tests.support.fakes import NOON, ManualTime, MemoryStore, delivery_of
from tests.support.jobs import held_of, job_fields
from tests.support.memory_queue import MemoryPlace
from tests.support.signed_letters import KEY, key_files, signed
from worker.conclusion import Reason
from worker.envelope import Envelope, identity_of, open_envelope
from worker.held import Held
from worker.letters import Letters
from worker.signing_jobs import JobSignatures
from worker.transports.base import Attribute, Message

REASON = Reason("handler_error", "It failed.", 5)


@pytest.fixture
def signatures(tmp_path: Path) -> JobSignatures:
    section = {"key_files": key_files(tmp_path, KEY), "required_types": ["*"]}
    return JobSignatures(Signing.model_validate(section), Symfony())


def held(message: Message) -> Held:
    """The message as it is received."""
    return held_of(message.body, attributes=message.attributes)


def opened(message: Message, signatures: JobSignatures) -> Envelope:
    """The message as a worker has it; raises `BadSignature` where it does not believe it."""
    return open_envelope(message.body, held(message), Symfony(), signatures)


@pytest.mark.parametrize("original", [signed(job_fields(run=2)), signed(job_fields(), run=3)])
@pytest.mark.parametrize("others", [0, 9])
def test_a_dead_letter_and_a_copy_keep_the_signature(
    signatures: JobSignatures, original: Message, others: int
) -> None:
    """However full the message is: whoever reads them can verify them still."""
    beside = {f"a-{number}": Attribute("String", "x") for number in range(others)}
    original = Message(original.body, {**original.attributes, **beside})
    queue = MemoryPlace().transport("failure")
    letters = Letters(MemoryStore(), None, "host:1", ManualTime().clock)
    envelope = opened(original, signatures)
    letter = letters.dead_letter(queue, held(original), REASON, identity_of(envelope), answered=True)
    unknown = letters.dead_letter(queue, held(original), REASON, None, answered=False)
    delivery = delivery_of(original.body, attributes=original.attributes)
    copy = letters.copy(queue, delivery, NOON + timedelta(days=2), timedelta(minutes=15))

    for message in (letter, unknown, copy):
        assert opened(message, signatures).run == envelope.run
        assert "signature" in str(message.attributes)
    assert read_own_header(delivery_of("", attributes=letter.attributes).headers).code == "handler_error"
