"""Symfony's messages read as jobs: fields by other names, constants, stamps."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.digest import part_digest
from config.job import WIRE_FIELDS, BadMessage
from config.symfony import Symfony, SymfonyMessage
from tests.support.jobs import envelope_of, held_of, job_fields
from tests.support.symfony_messages import (
    CLASS,
    IMPORT_JOB,
    MAPPED,
    NAMES,
    UNCHANGED,
    identity,
    opened,
    refusal,
)
from tests.support.wire import JSON_VALUES
from worker.envelope import Identity
from worker.symfony.reading import job_fields as read_job_fields


class TestFields:
    def test_an_existing_class_is_a_job_by_other_names(self) -> None:
        """Numbers are ids as text, and one customer is a list of one."""
        job = opened(MAPPED, IMPORT_JOB).job

        assert (job.job_id, job.partner_id, job.customer_ids) == ("job-1", "acme", ("42",))
        assert (job.payload, job.unknown_fields) == ([{"order_no": 1}], {})

    def test_an_existing_class_with_its_rows_at_the_top_is_a_job_unchanged(self) -> None:
        """What is not named is payload, whatever it is called; the partner is the queue's."""
        fields = {"jobId": 7, "customerId": "c-1", "rows": [1], "type": "csv", "run": 5, "payload": {"a": 1}}
        job = opened(UNCHANGED, fields).job

        assert (job.job_id, job.partner_id, job.customer_ids, job.run) == ("7", "acme", ("c-1",), 1)
        assert job.payload == {"rows": [1], "type": "csv", "run": 5, "payload": {"a": 1}}

    def test_the_job_s_own_names_are_understood_beside_others(self) -> None:
        """Where the rest is not the payload."""
        assert opened(MAPPED, job_fields(), CLASS).job == opened(Symfony(), job_fields(), CLASS).job

    @pytest.mark.parametrize(
        ("customers", "ids"),
        [
            (42, ("42",)),
            ("c-1", ("c-1",)),
            ([42, "c-1"], ("42", "c-1")),
            ({"customer_id": 42, "payload": {"x": 1}}, ("42",)),
            ([{"customer_id": 42}, 10**100], ("42", str(10**100))),
        ],
    )
    def test_customers_in_every_form(self, customers: Any, ids: tuple[str, ...]) -> None:
        """One or a list, text or numbers, with a payload of their own or without."""
        assert opened(MAPPED, {**IMPORT_JOB, "customerId": customers}).job.customer_ids == ids

    @pytest.mark.parametrize("value", [True, 4.0, [], [[]], [True], [4.5], {}, 10**4000])
    def test_what_is_no_id_is_not_made_one(self, value: Any) -> None:
        """A flag or a fraction is a mistake; the reason says which class was read."""
        error = refusal(MAPPED, {**IMPORT_JOB, "customerId": value})

        assert error.code == "bad_message"
        assert "ImportJob" in str(error)

    def test_null_is_as_if_it_were_not_there(self) -> None:
        """PHP writes each property that has no value."""
        nothing = dict.fromkeys(["attachments", "schedule", "correlation_id", "run", "dry_run", "job_id"])
        assert opened(MAPPED, {**IMPORT_JOB, **nothing}).job == opened(MAPPED, IMPORT_JOB).job
        assert "job_id" in str(refusal(MAPPED, {**IMPORT_JOB, "jobId": None}))

    @pytest.mark.parametrize(
        ("twice", "both"),
        [({"job_id": "job-2"}, "'job_id' and 'jobId'"), ({"id": "job-2"}, "'jobId' and 'id'")],
    )
    def test_a_field_by_two_names_is_refused(self, twice: dict[str, Any], both: str) -> None:
        """Nobody can tell which one is meant; and nobody is answered under either."""
        symfony = Symfony(types=MAPPED.types, fields={**NAMES, "id": "job_id"})
        error = refusal(symfony, {**IMPORT_JOB, **twice})

        assert error.code == "bad_message"
        assert both in str(error)
        assert identity(symfony, {**IMPORT_JOB, **twice}) is None

    def test_a_class_s_own_fields_go_before_those_for_all(self) -> None:
        """Field by field of the job: the others hold."""
        symfony = Symfony(fields=NAMES, messages={CLASS: SymfonyMessage(type="t", fields={"uuid": "job_id"})})
        job = opened(symfony, {**IMPORT_JOB, "uuid": "job-9"}).job

        assert (job.job_id, job.customer_ids, job.unknown_fields) == ("job-9", ("42",), {"jobId": "job-1"})

    def test_a_name_of_all_classes_may_mean_something_else_in_one(self) -> None:
        """There it is that field, and no other."""
        own = {"jobId": "correlation_id", "uuid": "job_id"}
        symfony = Symfony(fields=NAMES, messages={CLASS: SymfonyMessage(type="t", fields=own)})
        job = opened(symfony, {**IMPORT_JOB, "uuid": "job-9"}).job
        only = Symfony(
            fields=NAMES, messages={CLASS: SymfonyMessage(type="t", fields={"jobId": "correlation_id"})}
        )

        assert (job.job_id, job.correlation_id) == ("job-9", "job-1")
        assert opened(only, {**IMPORT_JOB, "job_id": "job-9"}).job.correlation_id == "job-1"

    def test_so_does_its_rest(self) -> None:
        """A name for the payload of all classes is one more of its fields then."""
        symfony = Symfony(fields=NAMES, messages={CLASS: SymfonyMessage(type="t", fields={"*": "payload"})})

        assert opened(symfony, {**IMPORT_JOB, "x": 1}).job.payload == {"rows": [{"order_no": 1}], "x": 1}

    def test_messages_without_a_class_are_read_as_ever(self) -> None:
        """What the front door sends is no message of Symfony's, whatever else it holds."""
        held = held_of(job_fields(jobId=7, customerId=8))

        assert envelope_of(held, MAPPED).job.unknown_fields == {"jobId": 7, "customerId": 8}

    def test_a_constant_that_the_message_contradicts_is_refused(self) -> None:
        """One partner per queue means this one."""
        symfony = Symfony(
            types=MAPPED.types, fields=NAMES, constants={"partner_id": "acme", "customers": "c-1"}
        )
        fields = {"jobId": "job-1", "rows": []}

        assert opened(symfony, fields).job.customer_ids == ("c-1",)
        assert opened(symfony, {**fields, "partner": "acme", "customerId": "c-1"}).job.partner_id == "acme"
        assert "constants" in str(refusal(symfony, {**fields, "partner": "globex"}))
        assert identity(symfony, {**fields, "partner": "globex"}) is None

    def test_the_digest_is_that_of_the_job(self) -> None:
        """A message and the same job in our own form are the same content."""
        ours = {"job_id": "job-1", "type": "orders.insert", "partner_id": "acme", "customers": ["42"]}
        theirs = opened(MAPPED, IMPORT_JOB)
        other = envelope_of(held_of({**ours, "payload": [{"order_no": 1}]}))
        digests = {
            part_digest(envelope.job, envelope.job_type, envelope.job.part_requests()[0])
            for envelope in (theirs, other)
        }

        assert len(digests) == 1

    def test_a_type_by_two_names_does_not_matter_where_the_class_tells_it(self) -> None:
        """It wins over each."""
        symfony = Symfony(types=MAPPED.types, fields={**NAMES, "kind": "type"})

        assert opened(symfony, {**IMPORT_JOB, "kind": "a", "type": "b"}).job_type == "orders.insert"
        assert refusal(symfony, {**IMPORT_JOB, "kind": "a", "type": "b"}, "App\\Other").code == "bad_message"

    def test_where_nothing_is_configured_nothing_is_read_in_another_way(self) -> None:
        """Any sender may use a header of that name."""
        error = refusal(Symfony(), job_fields(job_id=7))

        assert error.code == "bad_message"
        assert "symfony" not in str(error)


class TestRefused:
    def test_a_refused_message_is_answered_by_its_own_names(self) -> None:
        """Job id, partner and customers by the names that its class gives them."""
        assert identity(MAPPED, {**IMPORT_JOB, "attachments": "none"}) == Identity(
            "job-1", 1, "acme", "orders.insert", None, dry_run=False, customer_ids=("42",)
        )

    def test_so_is_one_of_an_unknown_class(self) -> None:
        """By the names for all classes."""
        found = identity(MAPPED, IMPORT_JOB, "App\\Unknown")

        assert found is not None
        assert (found.job_id, found.job_type) == ("job-1", None)


class TestStamps:
    def test_a_message_that_symfony_retried_is_no_attempt_of_ours(self) -> None:
        """Its count is kept, a new message that it is; its delay means nothing any more."""
        header = "X-Message-Stamp-Symfony\\Component\\Messenger\\Stamp\\"
        folded = {
            header + "RedeliveryStamp": '[{"retryCount":3}]',
            header + "DelayStamp": '[{"delay":900000}]',
        }
        envelope = opened(MAPPED, IMPORT_JOB, folded=folded)

        assert (envelope.retry_count, envelope.run, envelope.own.not_before) == (3, 1, None)
        assert envelope.stamps.last("DelayStamp") == {"delay": 900000}

    def test_stamps_that_found_no_place_beside_our_header_are_read_there(self) -> None:
        """A worker that sends a message again may fold Symfony's attribute into its own."""
        folded = {"X-Symfony-Messenger": json.dumps({"type": CLASS, "X-Message-Stamp-A\\Mine": "[{}]"})}
        envelope = envelope_of(held_of(IMPORT_JOB, header={"folded": folded}), MAPPED)

        assert envelope.job_type == "orders.insert"
        assert envelope.stamps.names == ("A\\Mine",)


KEYS = st.sampled_from([*WIRE_FIELDS, *NAMES, "id"]) | st.text(max_size=5)
OBJECTS = st.dictionaries(KEYS, JSON_VALUES | st.sampled_from([7, "job-1", ["c-1", 8]]), max_size=8)
TARGETS = st.sampled_from(sorted(WIRE_FIELDS))
FIELDS = st.dictionaries(KEYS, TARGETS, max_size=5)
MESSAGES = st.builds(
    SymfonyMessage,
    type=st.none() | st.just("t"),
    fields=FIELDS | st.builds(lambda fields: {**fields, "*": "payload"}, FIELDS),
    constants=st.dictionaries(st.sampled_from(["partner_id", "customers"]), st.just("c"), max_size=2),
)
SECTIONS = st.builds(Symfony, fields=FIELDS, messages=st.dictionaries(st.just(CLASS), MESSAGES))


@given(OBJECTS, SECTIONS)
def test_any_object_is_a_job_or_a_bad_message(fields: dict[str, Any], symfony: Symfony) -> None:
    """By whatever mapping; and who is answered is told without a fault."""
    identity(symfony, fields)
    with suppress(BadMessage):
        assert opened(symfony, fields).job.customer_ids


@given(OBJECTS, SECTIONS)
def test_no_value_is_lost(fields: dict[str, Any], symfony: Symfony) -> None:
    """Each that is not null stands in the job or in its payload, or the message is refused."""
    before, reading = json.dumps(fields), symfony.reading_of(CLASS)
    with suppress(BadMessage):
        read = read_job_fields(fields, CLASS, symfony)
        for name, value in fields.items():
            target = reading.fields.get(name)
            if value is None or "type" in {name, target}:
                continue
            if reading.rest_is_payload and target is None:
                assert read["payload"][name] == value
            else:
                assert (target or name) in read
    assert json.dumps(fields) == before
