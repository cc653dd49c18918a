"""The job on the wire: model and schema judge alike, and nothing but `BadMessage` comes out of a decoder."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import text
from config.job import BadMessage, decode_job, encode_job, read_object, to_job
from tests.support.wire import JSON_VALUES, job_objects, near_misses, schema, validator

VALIDATOR = validator("job")
UNSAYABLE = {"duplicate_customer", "duplicate_attachment", "unknown_attachment"}

MINIMAL: dict[str, Any] = {
    "job_id": "01JD3Z",
    "type": "orders.insert",
    "partner_id": "acme",
    "customers": ["c-1"],
}
ATTACHMENT: dict[str, Any] = {"name": "a", "bucket": "b", "key": "acme/a", "size": 0, "sha256": "0" * 64}
LIKELY_BODIES = st.one_of(
    st.text(),
    JSON_VALUES.map(json.dumps),
    st.dictionaries(st.sampled_from([*MINIMAL, "attachments", "schedule", "run"]), JSON_VALUES).map(
        json.dumps
    ),
    near_misses(job_objects()).map(json.dumps),
)


def fault_of(decode: Callable[[], object]) -> BadMessage | None:
    """With what a decoder refuses; None where it does not. Any other error is the test's failure."""
    try:
        decode()
    except BadMessage as bad:
        return bad
    return None


def verdict(document: dict[str, Any]) -> str | None:
    """The code with which the model refuses the document; None where it takes it."""
    bad = fault_of(lambda: decode_job(json.dumps(document)))
    return bad.code if bad else None


def test_the_schema_is_one() -> None:
    """Each pattern in it is the model's own, and each field of the model is described."""
    job = schema("job")
    VALIDATOR.check_schema(job)
    definitions = job["$defs"]
    assert definitions["job_id"]["pattern"] == text.JOB_ID
    assert definitions["partner_id"]["pattern"] == text.PARTNER_ID
    assert definitions["customer_id"]["pattern"] == text.CUSTOMER_ID
    assert definitions["job_type"]["pattern"] == text.JOB_TYPE
    assert definitions["correlation_id"]["pattern"] == text.CORRELATION_ID
    assert definitions["timestamp"]["pattern"] == text.TIMESTAMP
    assert definitions["attachment"]["properties"]["name"]["pattern"] == text.ATTACHMENT_NAME
    assert definitions["attachment"]["properties"]["sha256"]["pattern"] == text.SHA256


@given(job_objects())
def test_a_job_is_one_for_the_model_and_for_the_schema(document: dict[str, Any]) -> None:
    """What keeps every rule is taken by both."""
    VALIDATOR.validate(document)
    assert verdict(document) is None


@given(near_misses(job_objects()))
def test_a_near_miss_is_judged_alike_by_model_and_schema(document: dict[str, Any]) -> None:
    """Dropped fields, wrong types and values, newlines at the end, empty lists: one verdict from both."""
    code = verdict(document)
    if code not in UNSAYABLE:
        assert VALIDATOR.is_valid(document) == (code is None)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"customers": ["c-1", {"customer_id": "c-1"}]}, "duplicate_customer"),
        ({"customers": [{"customer_id": "c", "payload": 1}, {"customer_id": "c"}]}, "duplicate_customer"),
        ({"attachments": [ATTACHMENT, {**ATTACHMENT, "size": 1}]}, "duplicate_attachment"),
        ({"customers": [{"customer_id": "c", "attachments": ["none"]}]}, "unknown_attachment"),
        ({"submitted_at": "2026-02-30T10:00:00Z"}, "bad_message"),
        ({"submitted_at": "9999-12-31T23:59:59.9999999Z"}, "bad_message"),
        ({"run": 1.0}, "bad_message"),
        ({"attachments": [{**ATTACHMENT, "size": 7.0}]}, "bad_message"),
    ],
)
def test_rules_that_no_schema_can_say_are_the_models(changes: dict[str, Any], code: str) -> None:
    """The whole list of what a schema takes and the model does not, but for depth and impossible numbers."""
    document = {**MINIMAL, **changes}
    assert VALIDATOR.is_valid(document)
    assert verdict(document) == code


def test_a_job_is_at_most_a_hundred_levels_deep() -> None:
    """A limit of our own, lower than any recursion limit, and the same wherever the job is decoded."""
    fields = {**MINIMAL, "payload": json.loads("[" * 99 + "]" * 99)}
    assert verdict(fields) is None
    assert verdict({**fields, "payload": [fields["payload"]]}) == "bad_message"
    assert verdict({**MINIMAL, "unknown": {"a": fields["payload"]}}) == "bad_message"


@given(job_objects())
def test_a_job_survives_being_encoded(document: dict[str, Any]) -> None:
    """Decoded, encoded and decoded again it is the same job, unknown fields included, in ASCII."""
    job = decode_job(json.dumps(document))
    body = encode_job(job)
    assert body.isascii()
    assert decode_job(body) == job
    VALIDATOR.validate(json.loads(body))


@given(job_objects(), st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=3))
def test_unknown_fields_at_the_top_are_kept(document: dict[str, Any], unknown: dict[str, Any]) -> None:
    """Whatever their names are, one that the model uses itself among them."""
    unknown = {name: value for name, value in unknown.items() if name not in document}
    unknown = {name: value for name, value in unknown.items() if name not in schema("job")["properties"]}
    body = encode_job(decode_job(json.dumps({**document, **unknown, "unknown_fields": {"a": 1}})))
    written = json.loads(body)
    assert {name: written[name] for name in unknown if name != "unknown_fields"} == {
        name: value for name, value in unknown.items() if name != "unknown_fields"
    }
    assert written["unknown_fields"] == {"a": 1}


@given(LIKELY_BODIES)
def test_decoding_any_text_gives_a_job_or_a_bad_message(body: str) -> None:
    """Nothing else, and the reason fits a result's error."""
    bad = fault_of(lambda: decode_job(body))
    assert bad is None or bad.code in {"bad_message", *UNSAYABLE}
    assert len(str(bad).encode()) <= 2000


@given(st.dictionaries(st.text(), JSON_VALUES))
def test_any_object_is_a_job_or_a_bad_message(fields: dict[str, Any]) -> None:
    """`to_job` is called with what a decoder gave, so it stands for itself."""
    bad = fault_of(lambda: to_job(fields))
    assert bad is None or bad.code == "bad_message"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        '"text"',
        "{",
        "\ufeff{}",
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"payload": NaN}',
        '{"payload": 1e999}',
        f'{{"payload": {"9" * 5000}}}',
        '{"job_id": "\ud800"}',
        '{"job_id": "\\ud800"}',
        '{"job_id": "a\x00b"}',
        f'{{"schedule": {{"kind": "{"k" * 100_000}"}}, "job_id": "a"}}',
    ],
)
def test_hostile_bodies_are_bad_messages(body: str) -> None:
    """Depth, numbers without end, half characters and control characters stop nobody."""
    with pytest.raises(BadMessage) as caught:
        decode_job(body)
    assert caught.value.code == "bad_message"
    assert len(str(caught.value)) <= 1000


def test_of_a_key_that_stands_twice_the_last_counts() -> None:
    """As for nearly every other reader of JSON, so that two readers see one job."""
    body = json.dumps(MINIMAL)[:-1] + ', "job_id": "second"}'
    assert decode_job(body).job_id == json.loads(body)["job_id"] == "second"


def test_numbers_keep_every_digit() -> None:
    """An integer beyond 64 bits is not rounded on its way to a handler."""
    number = 123456789012345678901234567890
    assert decode_job(json.dumps({**MINIMAL, "payload": number})).payload == number


def test_a_reason_names_the_field_and_not_its_value() -> None:
    """Failure queues and logs are read by people who need not see a partner's data."""
    with pytest.raises(BadMessage, match=r"\$\.partner_id") as caught:
        decode_job(json.dumps({**MINIMAL, "partner_id": "a secret!"}))
    assert "secret" not in str(caught.value)
    with pytest.raises(BadMessage, match="no object: found list"):
        read_object("[1]")


def test_each_customer_is_asked_for_what_is_its_own() -> None:
    """Payload: its own, also null, or the shared one. Attachments: those it names, or all."""
    other = {**ATTACHMENT, "name": "b"}
    customers = [
        "c-1",
        {"customer_id": "c-2", "payload": None},
        {"customer_id": "c-3", "attachments": []},
        {"customer_id": "c-4", "payload": 4, "attachments": ["b"]},
    ]
    fields = {**MINIMAL, "payload": "shared", "attachments": [ATTACHMENT, other], "customers": customers}
    parts = decode_job(json.dumps(fields)).part_requests()
    assert [
        (part.part_no, part.customer_id, part.payload, [file.name for file in part.attachments])
        for part in parts
    ] == [
        (0, "c-1", "shared", ["a", "b"]),
        (1, "c-2", None, ["a", "b"]),
        (2, "c-3", "shared", []),
        (3, "c-4", 4, ["b"]),
    ]


@pytest.mark.parametrize(
    "literal", ["12345678901234.567", "123456789012345678.9", "1e-400", "1e999", "1e" + "9" * 30]
)
def test_a_number_that_would_be_rounded_is_refused(literal: str) -> None:
    """An amount never changes on its way: what a double does not keep has to come as text."""
    with pytest.raises(BadMessage) as refused:
        read_object(f'{{"amount": {literal}}}')

    assert refused.value.code == "bad_message"
    assert literal not in str(refused.value)


@pytest.mark.parametrize("literal", ["0.1", "1.50", "1e5", "-0.0", "0.10000000000000001", "5e-324"])
def test_a_number_that_a_double_keeps_is_taken_in_any_of_its_forms(literal: str) -> None:
    """Also as seventeen digits, as PHP writes them at times."""
    assert read_object(f'{{"amount": {literal}}}') == {"amount": float(literal)}


@given(number=st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_is_taken_as_it_is_written(number: float) -> None:
    """What a program wrote from a double is never refused and never changed."""
    assert read_object(json.dumps({"amount": number})) == {"amount": number}
    assert read_object(f'{{"amount": {number:.17g}}}') == {"amount": number}
