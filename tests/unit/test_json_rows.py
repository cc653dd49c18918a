"""Lines of JSON that one pattern knows: what it takes, a decoder of JSON reads to the same."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import DOUBLE, INTEGER, Boolean, DateTime, Enum, Numeric, String, Text
from sqlalchemy.types import TypeEngine

from handlers.json_row_pattern import JsonRows
from handlers.row_model import RowField
from shards.column_texts import text_rule

TYPES: dict[str, TypeEngine[Any]] = {
    "number": INTEGER(),
    "label": String(3),
    'the "note"': Text(),
    "choice": Enum("a", "ä\n"),
    "price": Numeric(6, 2),
    "ratio": DOUBLE(),
    "paid": Boolean(),
    "made_at": DateTime(),
}
RIGHT: dict[str, list[str]] = {
    "number": ["1", "-7", "0"],
    "label": ['"abc"', '""', '"\\u00e9"', '"\\ud834\\udd1e𝄞x"', '"a\\"c"'],
    'the "note"': ['"a b"', '"\\\\"', '"\\/\\n"', '"\u2028"'],
    "choice": ['"a"', '"ä\\n"'],
    "price": ["1.50", '"1.50"', "-0.1", '"00.5"'],
    "ratio": ["0.5", "1e3", "-1.5E-3", "5"],
    "paid": ["true", "false"],
    "made_at": ['"2026-11-21T10:00:00"', '"2026-11-21 10:00:00.5"'],
}
DOUBTFUL: dict[str, list[str]] = {
    "number": ["01", "1.0", '"1"', "true", "null", "2147483648"],
    "label": ['"abcd"', '"\\ud834x"', '"ab\\u0000"', '"a\\"cd"', "null", "1"],
    'the "note"': ['"\\u0000"', '"\t"', '"}', '"\\x"', '"\0"'],
    "choice": ['"b"', '"\\u0061"'],
    "price": ["00.5", "1e2", ".5", "12345", "1.234"],
    "ratio": ["05", "NaN", "-00.5"],
    "paid": ["1", "True"],
    "made_at": ['"2026-02-30T10:00:00"', "20261121"],
}


def lines_of(*names: str, nullable: bool = False) -> JsonRows:
    fields = []
    for name in names:
        rule = text_rule(TYPES[name], "postgresql")
        assert rule is not None
        fields.append((RowField(name, object, required=True, nullable=nullable), rule))
    return JsonRows(fields)


@st.composite
def files(draw: st.DrawFn, names: tuple[str, ...]) -> str:
    """Files that are right, or nearly so."""
    between, newline = draw(st.sampled_from(["", " ", "\t "])), draw(st.sampled_from(["\n", "\r\n"]))
    colon = draw(st.sampled_from([":", ": "]))
    choices = [st.sampled_from([*RIGHT[name] * 4, *DOUBTFUL[name], "null"]) for name in names]
    text = ""
    for row in draw(st.lists(st.tuples(*choices), min_size=1, max_size=3)):
        pairs = (f"{json.dumps(name)}{colon}{cell}" for name, cell in zip(names, row, strict=True))
        text += f"{{{between}{f',{between}'.join(pairs)}{between}}}{newline}"
    return draw(
        st.sampled_from([text] * 5 + [text.replace(",", "", 1), text + "\n", text.replace("}", "", 1)])
    )


def as_told(name: str, value: Any) -> Any:
    """The value that a text, or what a decoder of JSON gave, stands for."""
    if value is None or isinstance(TYPES[name], String | DateTime):
        return value
    return {"true": True, "false": False}.get(value, value) if name == "paid" else Decimal(value)


@pytest.mark.parametrize(
    "names", [("number", "label"), ('the "note"', "price", "paid"), ("choice", "ratio", "made_at")]
)
@pytest.mark.parametrize("nullable", [False, True])
@given(data=st.data())
def test_lines_that_are_right_are_what_a_decoder_reads(
    names: tuple[str, ...], data: st.DataObject, *, nullable: bool
) -> None:
    """Whatever stands in them: escapes, quotes, numbers of any form."""
    text = data.draw(files(names))
    columns = lines_of(*names, nullable=nullable).columns(text)

    if columns is not None:
        rows = [json.loads(line, parse_float=str, parse_int=str) for line in text.split("\n")[:-1]]
        for name, column in zip(names, columns, strict=True):
            assert [as_told(name, cell) for cell in column] == [as_told(name, row[name]) for row in rows]
            assert (None in column) <= nullable


@pytest.mark.parametrize("name", TYPES)
def test_what_nobody_reads_otherwise_is_known(name: str) -> None:
    """The usual forms, and some that are rare."""
    columns = lines_of(name).columns("".join(line(name, cell) for cell in RIGHT[name]))

    assert columns is not None
    assert len(columns[0]) == len(RIGHT[name])


@pytest.mark.parametrize(("name", "cell"), [(name, cell) for name in TYPES for cell in DOUBTFUL[name]])
def test_a_value_that_is_not_surely_right_leaves_all_to_others(name: str, cell: str) -> None:
    """They tell what is wrong, if anything is."""
    good = line(name, RIGHT[name][0])

    assert lines_of(name).columns(good + line(name, cell) + good) is None


def line(name: str, cell: str) -> str:
    """A line of one value."""
    return f"{{{json.dumps(name)}: {cell}}}\n"
