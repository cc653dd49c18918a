"""Symfony's messages read as jobs: class names as types, fields by other names, constants."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.digest import part_digest
from config.job import WIRE_FIELDS, BadMessage
from config.symfony import Symfony, SymfonyMessage, best_match
from tests.support.jobs import envelope_of, held_of, job_fields
from tests.support.wire import JSON_VALUES
from worker.envelope import Envelope, Identity, readable_identity
from worker.symfony.reading import job_fields as read_job_fields
from worker.transports.base import Attribute

CLASS = "App\\Message\\ImportJob"
NAMES = {"jobId": "job_id", "customerId": "customers", "partner": "partner_id", "rows": "payload"}
MAPPED = Symfony(types={CLASS: "orders.insert"}, fields=NAMES)
UNCHANGED = Symfony(
    messages={
        CLASS: SymfonyMessage(
            type="orders.insert",
            fields={"jobId": "job_id", "customerId": "customers", "*": "payload"},
            constants={"partner_id": "acme"},
        )
    }
)
IMPORT_JOB: dict[str, Any] = {
    "jobId": "job-1",
    "customerId": 42,
    "partner": "acme",
    "rows": [{"order_no": 1}],
}


def opened(
    symfony: Symfony,
    fields: dict[str, Any],
    class_name: str = CLASS,
    folded: dict[str, str] | None = None,
) -> Envelope:
    """The envelope of a message of a class, with these fields, and headers folded into one attribute."""
    headers = {"type": Attribute("String", class_name)}
    if folded is not None:
        headers["X-Symfony-Messenger"] = Attribute("String", json.dumps(folded))
    return envelope_of(held_of(fields, attributes=headers), symfony)


def refusal(symfony: Symfony, fields: dict[str, Any], class_name: str = CLASS) -> BadMessage:
    with pytest.raises(BadMessage) as raised:
        opened(symfony, fields, class_name)
    return raised.value


def identity(symfony: Symfony, fields: dict[str, Any], class_name: str = CLASS) -> Identity | None:
    """Who is answered when the message is refused."""
    held = held_of(fields, attributes={"type": Attribute("String", class_name)})
    return readable_identity(json.dumps(fields), held, symfony)


class TestClasses:
    @pytest.mark.parametrize(
        ("class_name", "job_type"),
        [
            (CLASS, "exact"),
            ("App\\Message\\Other", "message"),
            ("App\\Message\\Deep\\Down\\Other", "message"),
            ("App\\Other", "app"),
            ("App\\MessageOther", "app"),
            ("Other\\Thing", "any"),
            ("orders.import", "any"),
            ("x" * 1001, None),
        ],
    )
    def test_the_longest_match_wins(self, class_name: str, job_type: str | None) -> None:
        """A class itself before its namespaces, the nearest first; a name without end is none."""
        table = {CLASS: "exact", "App\\Message\\*": "message", "App\\*": "app", "*": "any"}

        assert best_match(table, class_name) == job_type

    def test_a_namespace_is_not_the_class_of_the_same_name(self) -> None:
        r"""`App\\Message` is no message of `App\\Message\\*`."""
        assert best_match({"App\\Message\\*": "message"}, "App\\Message") is None

    def test_hostile_class_names_cost_nothing(self) -> None:
        """Anybody can write the header."""
        assert best_match({"App\\*": "app"}, "\\" * 1_000_000) is None

    def test_both_tables_name_types(self) -> None:
        """What is said of a class goes before what is said of its namespace, in whichever table."""
        symfony = Symfony(
            types={CLASS: "exact", "App\\*": "app"},
            messages={"App\\Message\\*": SymfonyMessage(type="message")},
        )

        assert symfony.job_type_of(CLASS) == "exact"
        assert symfony.job_type_of("App\\Message\\Other") == "message"
        assert symfony.job_type_of("App\\Other") == "app"
        assert symfony.job_type_of("Other") is None

    @pytest.mark.parametrize("body", [{}, {"type": None}, {"type": 7}, {"type": "no type"}])
    def test_a_class_that_nobody_named_is_an_unknown_type(self, body: dict[str, Any]) -> None:
        """Not a bad message: the message may be good, and the configuration behind."""
        error = refusal(MAPPED, {**IMPORT_JOB, **body}, "App\\Message\\Other")

        assert error.code == "unknown_type"
        assert "'App\\\\Message\\\\Other'" in str(error)

    def test_so_it_is_where_nothing_is_configured(self) -> None:
        """The header alone says that it is Symfony's."""
        assert refusal(Symfony(), IMPORT_JOB).code == "unknown_type"

    def test_a_class_name_is_cut_in_the_reason(self) -> None:
        """And harmless."""
        reason = str(refusal(Symfony(), {}, "\ud800\n" + "x" * 10_000))

        assert len(reason) < 300
        assert reason.isprintable()

    def test_a_body_with_a_type_of_ours_keeps_it(self) -> None:
        """Whatever class it says it is."""
        assert opened(MAPPED, job_fields(type="from.body"), "App\\Unknown").job_type == "from.body"
        assert opened(Symfony(), job_fields(type="from.body"), "App\\Unknown").job_type == "from.body"

    def test_the_class_wins_over_the_body_s_type(self) -> None:
        """Where it is named; a property of that name may be anything."""
        envelope = opened(MAPPED, {**IMPORT_JOB, "type": "csv"})

        assert (envelope.job_type, envelope.job.type) == ("orders.insert", "orders.insert")

    def test_an_attribute_of_another_data_type_is_no_header(self) -> None:
        """As Symfony reads them: exactly `String`."""
        custom = Attribute("String.custom", CLASS)
        held = held_of(job_fields(type="from.body"), attributes={"type": custom})

        assert envelope_of(held, MAPPED).job_type == "from.body"


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
