"""The result on the wire: whatever is encoded keeps the schema, and comes back as it was."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import text
from config.job import BadMessage
from config.result import (
    BadResult,
    CustomerResult,
    Error,
    ErrorDetail,
    Result,
    ascii_json,
    decode_result,
    encode_result,
    error_of,
    failed,
    succeeded,
)
from tests.support.wire import CUSTOMER_IDS, JSON_VALUES, RESULTS, near_misses, schema, validator

VALIDATOR = validator("result")
MOMENT = datetime(2026, 11, 21, 10, tzinfo=UTC)


def result(**changes: Any) -> Result:
    fields = {
        "job_id": "01JD3Z",
        "run": 1,
        "type": "orders.insert",
        "partner_id": "acme",
        "correlation_id": None,
        "dry_run": False,
        "status": "succeeded",
        "customers": (CustomerResult(customer_id="c-1", status="succeeded", result=None),),
        "received_at": MOMENT,
        "finished_at": MOMENT,
    }
    return Result(**{**fields, **changes})


def is_result(body: str) -> bool:
    try:
        decode_result(body)
    except BadMessage:
        return False
    return True


def test_the_schema_is_one() -> None:
    """It is valid itself, and what it shares with the job's schema is the same."""
    job, shared = schema("job")["$defs"], schema("result")["$defs"]
    VALIDATOR.check_schema(schema("result"))
    names = ["job_id", "partner_id", "customer_id", "job_type", "correlation_id", "timestamp", "run"]
    assert [shared[name] for name in names] == [job[name] for name in names]
    assert shared["customer_id"]["pattern"] == text.CUSTOMER_ID


@given(RESULTS)
def test_what_is_encoded_is_valid_and_comes_back(value: Result) -> None:
    """Every result of every status keeps the schema, is ASCII, and decodes to what it was."""
    body = encode_result(value)
    assert body.isascii()
    VALIDATOR.validate(json.loads(body))
    assert decode_result(body) == value


@given(near_misses(RESULTS.map(lambda value: json.loads(encode_result(value)))))
def test_a_near_miss_is_judged_alike_by_model_and_schema(document: dict[str, Any]) -> None:
    """Also where single fields are right and contradict each other."""
    assert VALIDATOR.is_valid(document) == is_result(json.dumps(document))


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "partial"},
        {"status": "failed"},
        {"status": "rejected"},
        {"customers": ()},
        {"finished_at": None},
        {"error": Error(code="expired", message="")},
        {"waiting": ("c-1",)},
        {"status": "rejected", "customers": ()},
        {"customers": (CustomerResult(customer_id="c-1", status="succeeded"),)},
        {"customers": (CustomerResult(customer_id="c-1", status="failed", result=1),)},
        {"customers": (CustomerResult(customer_id="c 1", status="succeeded", result=1),)},
    ],
)
def test_a_result_that_contradicts_itself_is_none(changes: dict[str, Any]) -> None:
    """A status that is not its customers', a final without its time, an error where there is none to be."""
    body = encode_result(result(**changes))
    assert not VALIDATOR.is_valid(json.loads(body))
    with pytest.raises(BadMessage, match=r"result|form"):
        decode_result(body)


def test_an_integer_with_decimals_is_the_one_thing_a_schema_takes_and_we_do_not() -> None:
    """And a day that is not in its month."""
    for changes in ({"run": 1.0}, {"received_at": "2026-02-30T00:00:00Z"}):
        document = {**json.loads(encode_result(result())), **changes}
        assert VALIDATOR.is_valid(document)
        assert not is_result(json.dumps(document))


@given(RESULTS, st.lists(st.tuples(CUSTOMER_IDS, JSON_VALUES), max_size=3))
def test_stored_outcomes_stand_in_the_result_as_they_are(value: Result, parts: list[tuple[str, Any]]) -> None:
    """Byte for byte in the job's order, in the place of `customers`, and nowhere else."""
    outcomes = tuple(succeeded(customer_id, returned) for customer_id, returned in parts)
    body = encode_result(value, outcomes)
    customers = tuple(
        CustomerResult(customer_id=customer_id, status="succeeded", result=returned)
        for customer_id, returned in parts
    )
    assert body == encode_result(msgspec.structs.replace(value, customers=customers))
    assert b",".join(outcomes).decode() in body


def test_no_text_in_a_result_is_taken_for_its_customers() -> None:
    """A partner's text that looks like the place of the outcomes stays text."""
    tricky = '"customers":[]'
    value = result(
        correlation_id=tricky, type='x"customers":[]', error=error_of("x", tricky), status="rejected"
    )
    decoded = json.loads(encode_result(value, (succeeded("c-1", tricky),)))
    assert decoded["correlation_id"] == decoded["error"]["message"] == tricky
    assert decoded["customers"] == [{"customer_id": "c-1", "status": "succeeded", "result": tricky}]


def test_a_handlers_values_become_json() -> None:
    """Structs, dates, decimals and identifiers are written as JSON writes them."""
    value = {
        "at": MOMENT,
        "amount": Decimal("1.10"),
        "id": UUID(int=1),
        "rows": (1, 2),
        "detail": ErrorDetail(row=1),
        "took": timedelta(seconds=1),
        3: "a number for a key",
    }
    assert json.loads(ascii_json(value)) == {
        "at": "2026-11-21T10:00:00Z",
        "amount": "1.10",
        "id": "00000000-0000-0000-0000-000000000001",
        "rows": [1, 2],
        "detail": {"row": 1},
        "took": "PT1S",
        "3": "a number for a key",
    }


BEYOND_JSON = {
    "an object": object(),
    "a set of objects": {1, object()},
    "no number": float("nan"),
    "infinity": float("inf"),
    "half a character": "\ud800",
    "half a character as a key": {"\udfff": 1},
    "a tuple as a key": {(1, 2): 3},
    "more digits than Python writes": 10**5000,
}


@pytest.mark.parametrize("value", BEYOND_JSON.values(), ids=BEYOND_JSON.keys())
def test_what_json_cannot_carry_is_a_bad_result(value: Any) -> None:
    """It is noticed before COMMIT; the message names the kind of the fault, never the value."""
    with pytest.raises(BadResult, match=r"^The value cannot be encoded as JSON: \w+\.$"):
        succeeded("c-1", value)


def test_a_value_that_contains_itself_is_a_bad_result() -> None:
    """It has no end."""
    value: list[Any] = []
    value.append(value)
    with pytest.raises(BadResult):
        ascii_json(value)


def test_pairs_of_surrogates_and_what_looks_like_one_are_carried() -> None:
    """An escaped character beyond the basic plane is no half, nor is a text about one."""
    for value in ("😀", "\\ud800", "\\\\ud800", "\ufffd"):
        assert json.loads(ascii_json(value)) == value


def test_a_result_of_64_kib_is_the_largest() -> None:
    """Measured as it stands in the inbox: encoded, in bytes."""
    assert succeeded("c-1", "x" * (64 * 1024 - 2))
    with pytest.raises(BadResult, match="65536"):
        succeeded("c-1", "x" * (64 * 1024 - 1))
    with pytest.raises(BadResult):
        succeeded("c-1", "ä" * (64 * 1024 // 6 + 1))


@given(
    st.text(st.characters(), max_size=80),
    st.text(st.characters(), max_size=1200),
    st.lists(
        st.builds(ErrorDetail, row=st.none() | st.integers(0), column=st.text(max_size=300)), max_size=120
    ),
)
def test_any_error_is_cut_to_the_contract(code: str, message: str, details: list[ErrorDetail]) -> None:
    """An error's report never fails for what it reports: half characters, long texts, thousands of rows."""
    error = error_of(code, message, details)
    body = encode_result(result(status="failed", customers=()), (failed("c-1", error),))
    VALIDATOR.validate(json.loads(body))
    assert decode_result(body).customers[0].error == error
    assert error.message == text.clip(message, 1000)


def test_an_error_within_the_limits_is_not_changed() -> None:
    """Nothing is cut that need not be."""
    details = [ErrorDetail(row=row, column="order_no", rule="unique") for row in range(100)]
    error = error_of("unique_violation", "m" * 1000, iter(details), retryable=True)
    assert error == Error(code="unique_violation", message="m" * 1000, retryable=True, details=tuple(details))


@given(st.text() | st.binary() | JSON_VALUES.map(json.dumps))
def test_any_body_is_a_result_or_a_bad_message(body: str | bytes) -> None:
    """A reader of the response queue meets one kind of error."""
    with pytest.raises(BadMessage, match="no result"):
        decode_result(body)


@pytest.mark.parametrize("body", ["[" * 100_000, '{"job_id": "\ud800"}', b"\xff", '{"run": 1e999}', ""])
def test_hostile_bodies_are_bad_messages(body: str | bytes) -> None:
    """Depth and half characters too."""
    with pytest.raises(BadMessage):
        decode_result(body)
