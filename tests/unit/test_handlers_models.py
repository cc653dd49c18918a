"""Decoding payloads: every kind of model, and faults that tell places and rules but never values."""

import dataclasses
import enum
import json
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.result import ErrorDetail
from handlers import Reject
from handlers.models import BadModel, payload_decoder
from tests.support.rejections import details_of

SECRET = "s3cret"


class StructRow(msgspec.Struct):
    order_no: int


class StructOrders(msgspec.Struct):
    rows: list[StructRow]


@dataclasses.dataclass
class DataclassRow:
    order_no: int


@dataclasses.dataclass
class DataclassOrders:
    rows: list[DataclassRow]


class TypedRow(TypedDict):
    order_no: int


class TypedOrders(TypedDict):
    rows: list[TypedRow]


class PydanticRow(pydantic.BaseModel):
    order_no: int


class PydanticOrders(pydantic.BaseModel):
    rows: list[PydanticRow]


MODELS = [StructOrders, DataclassOrders, TypedOrders, PydanticOrders]


def faults_of(model: Any, payload: Any) -> tuple[ErrorDetail, ...]:
    with pytest.raises(Reject) as caught:
        payload_decoder("t", model)(payload)
    told = f"{caught.value.message} {caught.value.details}"
    assert SECRET not in told
    assert caught.value.code == "invalid_payload"
    return caught.value.details


@pytest.mark.parametrize("model", MODELS)
def test_every_kind_of_model_is_decoded_to(model: Any) -> None:
    """The handler gets an instance of the model that it asked for."""
    decoded = payload_decoder("t", model)({"rows": [{"order_no": 7}]})

    rows = decoded["rows"] if isinstance(decoded, dict) else decoded.rows
    assert (rows[0]["order_no"] if isinstance(rows[0], dict) else rows[0].order_no) == 7
    assert isinstance(decoded, dict if model is TypedOrders else model)


class LooseOrders(msgspec.Struct):
    rows: list[Any]


@pytest.mark.parametrize("model", [Any, dict, dict[str, Any], LooseOrders])
def test_a_handler_may_change_what_it_was_given(model: Any) -> None:
    """The payload is shared by all customers of the job, who run at once: each call gets its own."""
    payload = {"rows": [{"order_no": 7}]}
    decode = payload_decoder("t", model)
    decoded = decode(payload)
    rows = decoded.rows if isinstance(decoded, LooseOrders) else decoded["rows"]
    rows[0]["customer_id"] = "c-1"
    rows.clear()

    assert payload == {"rows": [{"order_no": 7}]}


@pytest.mark.parametrize("model", MODELS)
def test_a_fault_is_told_with_its_place(model: Any) -> None:
    """The place is a path from the payload's root, whichever library found it."""
    rows = [{"order_no": 1}, {"order_no": 2}, {"order_no": 3}, {"order_no": SECRET}]

    (fault,) = faults_of(model, {"rows": rows})

    assert fault.column == "$.rows[3].order_no"
    assert fault.rule is not None
    assert "int" in fault.rule


@pytest.mark.parametrize("model", MODELS)
def test_a_missing_field_is_told_with_its_name(model: Any) -> None:
    """What is not there has a place too."""
    (fault,) = faults_of(model, {"rows": [{}]})

    assert fault.column == "$.rows[0].order_no"
    assert fault.rule is not None
    assert "missing" in fault.rule


def test_a_pydantic_model_tells_many_faults_and_no_more_than_a_hundred() -> None:
    """Where the library finds all faults, the partner learns them at once."""
    assert len(faults_of(PydanticOrders, {"rows": [{}, {}, {"order_no": SECRET}]})) == 3
    assert len(faults_of(PydanticOrders, {"rows": [{}] * 500})) == 100


def test_any_and_dict_take_the_payload_as_it_is() -> None:
    """A handler may look at the payload itself."""
    assert payload_decoder("t", Any)([1, None]) == [1, None]
    assert payload_decoder("t", dict)({"a": 1}) == {"a": 1}
    assert faults_of(dict, SECRET) == (ErrorDetail(column="$", rule="expected object, got str"),)


class Colour(enum.Enum):
    RED = "red"


class Careful(msgspec.Struct, forbid_unknown_fields=True):
    colour: Colour = Colour.RED
    size: Literal["s", "m"] = "s"
    name: Annotated[str, msgspec.Meta(pattern="^a")] = "a"
    when: datetime | None = None
    prices: dict[str, int] = {}

    def __post_init__(self) -> None:
        if self.name == f"a{SECRET}":
            raise ValueError(f"Expected another name than {self.name}")


@pytest.mark.parametrize(
    ("payload", "column", "rule"),
    [
        ({"colour": SECRET}, "$.colour", "not one of the allowed values"),
        ({"size": SECRET}, "$.size", "not one of the allowed values"),
        ({"name": SECRET}, "$.name", "expected str matching regex '^a'"),
        ({"when": SECRET}, "$.when", "invalid RFC3339 encoded datetime"),
        ({"prices": {SECRET: "x"}}, "$.prices[...]", "expected int, got str"),
        ({"name": f"a{SECRET}"}, "$", "not of the form that is asked for"),
        ({"colours": SECRET}, "$.colours", "unknown field"),
        ({f"no name: {SECRET}": 1}, "$[...]", "unknown field"),
    ],
)
def test_no_message_of_msgspec_lets_a_value_through(payload: Any, column: str, rule: str) -> None:
    """Rules come from the model; what came with the payload is left out, `__post_init__`'s text too."""
    assert faults_of(Careful, payload) == (ErrorDetail(column=column, rule=rule),)


class CarefulPydantic(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    size: Literal["s", "m"] = "s"
    name: Annotated[str, pydantic.Field(max_length=2)] = ""
    prices: dict[str, int] = {}
    when: datetime | None = None

    @pydantic.field_validator("name")
    @classmethod
    def _no_b(cls, name: str) -> str:
        if name == "b":
            raise ValueError(f"{SECRET} must not be {name}")
        return name


@pytest.mark.parametrize(
    ("payload", "column", "rule"),
    [
        ({"size": SECRET}, "$.size", "literal error: expected 's' or 'm'"),
        ({"name": SECRET}, "$.name", "string too long: max_length 2"),
        ({"name": "b"}, "$.name", "value error"),
        ({"prices": {SECRET: "x"}}, "$.prices[...]", "int type"),
        ({"colours": SECRET}, "$.colours", "extra forbidden"),
        ({f"no name: {SECRET}": 1}, "$[...]", "extra forbidden"),
        (SECRET, "$", "model type"),
    ],
)
def test_no_message_of_pydantic_lets_a_value_through(payload: Any, column: str, rule: str) -> None:
    """The rule is the error's type with the model's own limits, never the library's text."""
    assert faults_of(CarefulPydantic, payload) == (ErrorDetail(column=column, rule=rule),)


def test_a_strict_pydantic_model_takes_what_json_can_only_write_as_text() -> None:
    """A payload is JSON: its dates are text."""
    decoded = payload_decoder("t", CarefulPydantic)({"when": "2026-11-21T10:00:00Z"})

    assert decoded.when.year == 2026


def test_a_pydantic_model_without_a_schema_still_tells_its_own_fields() -> None:
    """A type that JSON Schema cannot express costs no place of the model itself."""

    class Odd(pydantic.BaseModel):
        call: Any = pydantic.Field(default=None)
        order_no: Annotated[int, pydantic.WrapValidator(lambda value, check: check(value))]
        odd: pydantic.InstanceOf[Colour] | None = None

    (fault,) = faults_of(Odd, {"order_no": SECRET})
    assert fault.column == "$.order_no"


def test_a_payload_nested_too_deeply_is_refused() -> None:
    """No depth of nesting ends the worker."""

    class Nested(msgspec.Struct):
        inner: "Nested | None" = None

    nested: Any = None
    for _ in range(100_000):
        nested = {"inner": nested}
    globals()["Nested"] = Nested
    try:
        assert faults_of(Nested, nested)[0].rule == "nested too deeply"
    finally:
        while nested:
            nested = nested["inner"]
        del globals()["Nested"]


def test_what_is_no_model_is_refused_before_any_job() -> None:
    """An instance or a class that msgspec cannot decode to is the handler author's mistake."""

    class NoModel:
        pass

    for value in (NoModel, 3, "text"):
        with pytest.raises(BadModel):
            payload_decoder("t", value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


DECODERS = [payload_decoder("t", model) for model in MODELS]


@given(
    payload=JSON | st.fixed_dictionaries({"rows": st.lists(JSON | st.fixed_dictionaries({"order_no": JSON}))})
)
def test_any_payload_is_either_decoded_or_rejected(payload: Any) -> None:
    """Whatever JSON brings, nothing but Reject is raised, and what is told is JSON."""
    for decode in DECODERS:
        assert json.dumps(msgspec.to_builtins(details_of(partial(decode, payload))))
