"""The trace of a message: read from what came with it, written on what is sent because of it."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from config.symfony import Symfony
from tests.support.fakes import ManualTime, MemoryStore
from tests.support.jobs import envelope_of, held_of, job_fields
from tests.support.memory_queue import MemoryPlace
from worker.envelope import Identity, identity_of, readable_identity
from worker.held import Held
from worker.letters import Letters
from worker.trace import TRACEPARENT_CHARACTERS_MAXIMUM, Trace, trace_of
from worker.transports.base import Attribute, Message
from worker.transports.sqs_wire import delivery_from, send_parameters

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
LONGEST = f"cc{TRACEPARENT[2:]}-".ljust(TRACEPARENT_CHARACTERS_MAXIMUM, "x")
AWS = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1"


def held_with(traceparent: str | None = None, aws: str | None = None) -> Held:
    given = {} if traceparent is None else {"traceparent": Attribute("String", traceparent)}
    held = held_of(job_fields(), attributes=given)
    return replace(held, delivery=replace(held.delivery, trace_header=aws))


@pytest.mark.parametrize(
    ("traceparent", "aws", "trace"),
    [
        (None, None, None),
        (TRACEPARENT, None, Trace(TRACE_ID, TRACEPARENT)),
        (None, AWS, Trace(TRACE_ID, TRACEPARENT)),
        (TRACEPARENT, AWS.replace("4bf92f35", "00000000"), Trace(TRACE_ID, TRACEPARENT)),
        (f"cc{TRACEPARENT[2:]}-later", None, Trace(TRACE_ID, f"cc{TRACEPARENT[2:]}-later")),
        (LONGEST, None, Trace(TRACE_ID, LONGEST)),
        (f"{LONGEST}x", None, None),
        (f"{LONGEST}x", AWS, Trace(TRACE_ID, TRACEPARENT)),
        (None, "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736", Trace(TRACE_ID, None)),
        (
            None,
            f"Self=1-0-0; {AWS.replace('Sampled=1', 'Sampled=0')}",
            Trace(TRACE_ID, f"{TRACEPARENT[:-1]}0"),
        ),
        (TRACEPARENT.upper(), None, None),
        (f"ff{TRACEPARENT[2:]}", None, None),
        (TRACEPARENT.replace(TRACE_ID, "0" * 32), None, None),
        (TRACEPARENT.replace("00f067aa0ba902b7", "0" * 16), None, None),
        ("\n" + TRACEPARENT, AWS, Trace(TRACE_ID, TRACEPARENT)),
        (None, "Root=1-4bf92f35-77b34da6", None),
        (None, "", None),
    ],
)
def test_the_trace_is_read_from_either_header(traceparent: str | None, aws: str | None, trace: Trace) -> None:
    """W3C's comes first; one that is not in its form is as if it were not there."""
    assert trace_of(held_with(traceparent, aws).delivery) == trace


def test_the_header_may_be_among_those_that_symfony_folded() -> None:
    """Symfony puts many headers into one attribute."""
    folded = {"X-Symfony-Messenger": Attribute("String", json.dumps({"traceparent": TRACEPARENT}))}

    assert trace_of(held_of(job_fields(), attributes=folded).delivery) == Trace(TRACE_ID, TRACEPARENT)


class TestLetters:
    def letters(self, bucket: str | None = None) -> Letters:
        """Letters of a worker."""
        return Letters(MemoryStore(), bucket, "host:1", ManualTime().clock)

    def identity(self, held: Held) -> Identity:
        """Who is answered."""
        return identity_of(envelope_of(held))

    def test_a_result_carries_the_trace_on(self) -> None:
        """Whoever takes it goes on in the same trace, by either header."""
        held = held_with(TRACEPARENT, AWS)
        result = self.letters().result(MemoryPlace().transport("results"), "{}", self.identity(held))

        assert result.attributes == {"traceparent": Attribute("String", TRACEPARENT)}
        assert result.trace_header == AWS

    def test_so_does_one_that_goes_by_claim_check(self) -> None:
        """The pointer's own attribute stands beside it."""
        queue = MemoryPlace().transport("results")
        body = json.dumps("x" * queue.message_bytes_maximum)
        result = self.letters("checks").result(queue, body, self.identity(held_with(TRACEPARENT, AWS)))

        assert result.attributes["traceparent"] == Attribute("String", TRACEPARENT)
        assert (len(result.attributes), result.trace_header) == (2, AWS)

    def test_a_result_without_a_trace_has_no_attributes(self) -> None:
        """Nothing is made up."""
        held = held_with()
        result = self.letters().result(MemoryPlace().transport("results"), "{}", self.identity(held))

        assert (result.attributes, result.trace_header) == ({}, None)

    def test_a_refused_message_s_result_carries_it_too(self) -> None:
        """What is no job can still be traced."""
        identity = readable_identity(json.dumps(job_fields(payload=None)), held_with(None, AWS), Symfony())

        assert identity is not None
        assert (identity.trace, identity.trace_header) == (Trace(TRACE_ID, TRACEPARENT), AWS)

    def test_what_is_sent_again_stays_in_its_trace(self) -> None:
        """AWS's header is no attribute of the message: it would be lost with each sending."""
        queue = MemoryPlace().transport("requests")
        delivery = held_with(TRACEPARENT, AWS).delivery
        again = [
            self.letters().copy(queue, delivery, None, timedelta()),
            self.letters().retry(queue, delivery, renew=False),
        ]

        assert [message.trace_header for message in again] == [AWS, AWS]
        assert all(message.attributes["traceparent"].value == TRACEPARENT for message in again)


def test_sqs_carries_aws_s_header_beside_the_message() -> None:
    """As a system attribute, which does not count against its ten attributes and its size."""
    message = {"MessageId": "m", "ReceiptHandle": "r", "Body": "{}", "Attributes": {"AWSTraceHeader": AWS}}
    delivery = delivery_from(message, 0.0)
    sent = send_parameters(Message("{}", trace_header=delivery.trace_header))

    assert sent["MessageSystemAttributes"] == {"AWSTraceHeader": {"DataType": "String", "StringValue": AWS}}
