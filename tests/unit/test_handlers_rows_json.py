"""Reading JSON Lines, and the models that rows may have: every fault by row and column."""

import dataclasses
import io
from decimal import Decimal
from typing import Any, NotRequired, TypedDict

import msgspec
import pytest

from config.result import ErrorDetail
from handlers import csv_rows, json_rows
from tests.support.row_files import SECRET, Line, csv_faults, faults_of, read_csv, read_json


def json_faults(text: str | bytes, model: Any = Line) -> tuple[ErrorDetail, ...]:
    return faults_of(lambda: read_json(text, model))


def test_json_lines_are_read_one_object_a_line() -> None:
    """Empty lines are skipped and not counted."""
    rows = read_json('\ufeff{"order_no":1,"article":"a"}\n\n{"order_no":2,"article":"b","price":0.1}\r\n')

    assert [row.order_no for row in rows] == [1, 2]
    assert rows[1].price == Decimal("0.1")


def test_a_number_of_many_digits_keeps_them() -> None:
    """A decimal never passes through a float."""
    (row,) = read_json('{"order_no":1,"article":"a","price":1234567890.1234567890123}')

    assert row.price == Decimal("1234567890.1234567890123")


def test_every_fault_of_json_lines_is_told_with_row_and_column() -> None:
    """Nothing of a line but its number and its fields' names is told."""
    lines = [
        '{"order_no":1,"article":"a"}',
        f'{{"order_no":"{SECRET}","article":3}}',
        f'{{"order_no":1,"article":"a","colour":"{SECRET}","no name {SECRET}":1}}',
        '{"article":"a"}',
        "[1]",
        f"{SECRET}",
        '{"order_no":' + "[" * 100_000,
    ]

    assert json_faults("\n".join(lines)) == (
        ErrorDetail(row=2, column="order_no", rule="expected int, got str"),
        ErrorDetail(row=2, column="article", rule="expected str, got int"),
        ErrorDetail(row=3, column="colour", rule="unknown column"),
        ErrorDetail(row=3, column="(a name that is none)", rule="unknown column"),
        ErrorDetail(row=4, column="order_no", rule="missing required column"),
        ErrorDetail(row=5, rule="expected a JSON object"),
        ErrorDetail(row=6, rule="not JSON"),
        ErrorDetail(row=7, rule="not JSON"),
    )


def test_a_fault_inside_a_field_is_told_with_the_path() -> None:
    """A field may itself be an object or a list."""

    class Nested(msgspec.Struct):
        sizes: list[int]

    assert json_faults('{"sizes":[1,"x"]}', Nested) == (
        ErrorDetail(row=1, column="sizes[1]", rule="expected int, got str"),
    )


class Typed(TypedDict):
    order_no: int
    note: NotRequired[str | None]


@dataclasses.dataclass
class Data:
    order_no: int
    note: str | None = None


class Renamed(msgspec.Struct, rename="camel"):
    order_no: int


def test_structs_dataclasses_and_typed_dicts_are_models_of_rows() -> None:
    """Names on the wire are the model's: a renamed field goes by its other name."""
    assert read_csv("order_no,note\n1,\n", Typed) == [{"order_no": 1, "note": None}]
    assert read_csv("order_no\n1\n", Data) == [Data(1)]
    assert read_csv("orderNo\n1\n", Renamed) == [Renamed(1)]
    assert read_json('{"order_no":1}', Data) == [Data(1)]


@pytest.mark.parametrize(
    "model", [dict, int, Any, list[Line], msgspec.defstruct("A", ["a"], array_like=True)]
)
def test_other_models_are_refused_before_anything_is_read(model: Any) -> None:
    """The mistake is the handler author's, and shows at once."""
    with pytest.raises(TypeError, match="expected a msgspec Struct"):
        csv_rows(io.BytesIO(b""), model)
    with pytest.raises(TypeError, match="expected a msgspec Struct"):
        json_rows(io.BytesIO(b""), model)


def test_a_rule_of_the_rows_own_is_told_without_its_text() -> None:
    """What `__post_init__` says may hold a value."""

    class Strict(msgspec.Struct):
        order_no: int

        def __post_init__(self) -> None:
            raise ValueError(f"{SECRET}{self.order_no}")

    assert json_faults('{"order_no":1}', Strict) == (
        ErrorDetail(row=1, rule="not of the form that is asked for"),
    )
    assert csv_faults("order_no\n1\n", Strict) == (
        ErrorDetail(row=2, rule="not of the form that is asked for"),
    )
