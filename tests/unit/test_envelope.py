"""The envelope: what a delivery says, in body and headers, and what can be read of one that is no job."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.job import BadMessage
from config.symfony import Symfony
from tests.support.fakes import NOON
from tests.support.jobs import envelope_of, held_of, job_fields
from worker.envelope import (
    CLOCK_SKEW_MAXIMUM,
    Envelope,
    Identity,
    identity_of,
    open_envelope,
    readable_identity,
)
from worker.transports.base import Attribute

YESTERDAY = NOON - timedelta(days=1)
SYMFONY_TYPE = "App\\Message\\InsertOrders"
SYMFONY = Symfony(types={SYMFONY_TYPE: "orders.insert"})


def opened(header: dict[str, Any] | None = None, **fields: Any) -> Envelope:
    return envelope_of(held_of(job_fields(**fields), header=header))


@pytest.mark.parametrize(
    ("attributes", "job_type"),
    [
        ({}, "from.body"),
        ({"type": SYMFONY_TYPE}, "orders.insert"),
        ({"type": "App\\Unknown"}, "from.body"),
        ({"X-Symfony-Messenger": json.dumps({"type": SYMFONY_TYPE})}, "orders.insert"),
        ({"X-Symfony-Messenger": "no json"}, "from.body"),
    ],
)
def test_the_type_header_wins_where_the_configuration_maps_it(
    attributes: dict[str, str], job_type: str
) -> None:
    """Plain or folded by Symfony; else the body's type counts."""
    headers = {name: Attribute("String", value) for name, value in attributes.items()}
    held = held_of(job_fields(type="from.body"), attributes=headers)

    assert envelope_of(held, SYMFONY).job_type == job_type


def test_a_number_attribute_is_no_header() -> None:
    """Only attributes of type String are read, as Symfony does."""
    held = held_of(job_fields(), attributes={"type": Attribute("Number", "7")})

    assert envelope_of(held, Symfony(types={"7": "other.type"})).job_type == "orders.insert"


@pytest.mark.parametrize(
    ("fields", "header", "run"),
    [({}, None, 1), ({"run": 2}, None, 2), ({"run": 2}, {"run": 5}, 5), ({}, {}, 1)],
)
def test_the_run_of_the_header_wins(fields: dict[str, Any], header: dict[str, Any] | None, run: int) -> None:
    """A body is never rewritten for a retry."""
    assert opened(header, **fields).run == run


def test_a_resent_message_is_as_old_as_its_first_sending() -> None:
    """Whatever the queue says of this copy."""
    assert opened({"first_sent_at": YESTERDAY.isoformat()}).first_sent_at == YESTERDAY
    assert opened().first_sent_at == NOON


@pytest.mark.parametrize(
    ("fields", "born_at"),
    [
        ({}, NOON),
        ({"submitted_at": YESTERDAY.isoformat()}, YESTERDAY),
        ({"submitted_at": (NOON + timedelta(days=1)).isoformat()}, NOON),
        (
            {
                "submitted_at": (YESTERDAY - timedelta(days=90)).isoformat(),
                "schedule": {
                    "kind": "scheduler",
                    "name": "n",
                    "group": "g",
                    "trigger_at": YESTERDAY.isoformat(),
                },
            },
            YESTERDAY,
        ),
    ],
)
def test_a_job_is_as_old_as_the_earliest_moment_at_which_it_can_have_run(
    fields: dict[str, Any], born_at: datetime
) -> None:
    """A job that was scheduled months ahead was not born when it was submitted."""
    assert opened(**fields).born_at == born_at.astimezone(UTC)


def test_an_operator_can_let_a_job_s_age_be_counted_anew() -> None:
    """Whatever the body says, and the first message: somebody has looked at the data."""
    header = {"first_sent_at": "2026-01-01T00:00:00Z", "renewed_at": NOON.isoformat()}

    assert opened(header, submitted_at="2026-01-01T00:00:00Z").born_at == NOON


def test_a_retry_asks_anew_without_making_the_job_younger() -> None:
    """What is not known here yet is waited for again; what is too old stays so."""
    envelope = opened({"first_sent_at": YESTERDAY.isoformat(), "retried_at": NOON.isoformat()})

    assert (envelope.asked_at, envelope.born_at) == (NOON, YESTERDAY)
    assert opened({"first_sent_at": YESTERDAY.isoformat()}).asked_at == YESTERDAY


@pytest.mark.parametrize("ahead", [timedelta(seconds=1), timedelta(days=3_000 * 365)])
def test_no_message_was_first_sent_after_it_was_sent(ahead: timedelta) -> None:
    """A clock that is wrong, or a header that somebody else wrote, makes no job younger than its message."""
    envelope = opened({"first_sent_at": (NOON + ahead).isoformat()})

    assert (envelope.first_sent_at, envelope.born_at, envelope.asked_at) == (NOON, NOON, NOON)


@pytest.mark.parametrize("name", ["retried_at", "renewed_at"])
@pytest.mark.parametrize(
    ("ahead", "is_believed"), [(CLOCK_SKEW_MAXIMUM, True), (CLOCK_SKEW_MAXIMUM + timedelta(seconds=1), False)]
)
def test_a_deliberate_retry_is_not_from_the_future(name: str, ahead: timedelta, *, is_believed: bool) -> None:
    """Two clocks may differ by minutes; beyond that nobody retried it, and its age counts as ever."""
    header = {"first_sent_at": YESTERDAY.isoformat(), name: (NOON + ahead).isoformat()}
    envelope = opened(header)
    moment = envelope.asked_at if name == "retried_at" else envelope.born_at

    assert moment == (NOON + ahead if is_believed else YESTERDAY)


@pytest.mark.parametrize(
    "body",
    [
        'O:36:"Symfony\\Component\\Messenger\\Envelope":2:{}',
        'O:36:\\"Symfony\\\\Component\\\\Messenger\\\\Envelope\\":2:{}',
        'a:1:{s:4:"type";s:1:"x";}',
        'C:11:"ArrayObject":21:{x:i:0;a:0:{};m:a:0:{}}',
    ],
)
def test_a_body_of_php_s_serializer_is_named_as_such(body: str) -> None:
    """It is never evaluated; the message says what to configure."""
    with pytest.raises(BadMessage, match="symfony_serializer") as error:
        open_envelope(body, held_of(body), Symfony())

    assert error.value.code == "php_serialized"


@pytest.mark.parametrize("body", ["", "[]", "null", "{", "O", "O:1", '{"job_id": "j"}', "\ufeff{}", '"O:1:"'])
def test_what_is_no_job_is_a_bad_message(body: str) -> None:
    """Not a crash."""
    with pytest.raises(BadMessage):
        open_envelope(body, held_of(body), Symfony())


def test_the_identity_of_a_job_is_who_is_answered() -> None:
    """With the run of the header and the type of the map."""
    held = held_of(
        job_fields(customers=["c-1", {"customer_id": "c-2"}], correlation_id="k"), header={"run": 3}
    )

    assert identity_of(envelope_of(held)) == Identity(
        "job-1", 3, "acme", "orders.insert", "k", dry_run=False, customer_ids=("c-1", "c-2")
    )


@pytest.mark.parametrize(
    ("fields", "identity"),
    [
        ({"type": 7}, Identity("job-1", 1, "acme", None, None, dry_run=False, customer_ids=("c-1",))),
        (
            {"customers": ["c-1", "c-1", "ä", 7, {"customer_id": "c-2"}, {"other": 1}]},
            Identity("job-1", 1, "acme", "orders.insert", None, dry_run=False, customer_ids=("c-1", "c-2")),
        ),
        (
            {"customers": "c-1", "run": "no number", "dry_run": True},
            Identity("job-1", 1, "acme", "orders.insert", None, dry_run=True, customer_ids=()),
        ),
        ({"job_id": ""}, None),
        ({"job_id": 7}, None),
        ({"partner_id": "no partner!"}, None),
    ],
)
def test_what_can_be_read_of_a_bad_message_is_read(fields: dict[str, Any], identity: Identity | None) -> None:
    """Each field by itself; without job id or partner nobody can be answered."""
    body = json.dumps(job_fields(**fields))

    assert readable_identity(body, held_of(body), Symfony()) == identity


@pytest.mark.parametrize("body", ["", "[1]", "no json", "{"])
def test_nothing_can_be_read_of_what_is_no_json_object(body: str) -> None:
    """Nobody is known who could be answered."""
    assert readable_identity(body, held_of(body), Symfony()) is None


values = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3))
objects = st.dictionaries(st.sampled_from(list(job_fields())), values).map(json.dumps)


@given(st.text(max_size=300) | objects)
def test_no_body_whatever_breaks_the_decoder(body: str) -> None:
    """It is a job, or a bad message."""
    held = held_of(body)
    readable_identity(body, held, Symfony())
    with suppress(BadMessage):
        assert open_envelope(body, held, Symfony()).run >= 1
