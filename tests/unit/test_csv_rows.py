"""Rows of CSV that one pattern knows: what it takes, Python's reader reads to the same."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import JSON, Enum, Integer, String, Text
from sqlalchemy.types import TypeEngine

from handlers.csv_row_pattern import CsvRows, count_records
from handlers.row_model import RowField
from shards.column_texts import text_rule

TYPES: dict[str, TypeEngine[Any]] = {
    "number": Integer(),
    "label": String(3),
    "note": Text(),
    "choice": Enum("a", "ab"),
    "odd": Enum("a", "a,b"),
    "facts": JSON(),
}
PIECES = st.sampled_from(
    ['"', '""', ",", "\n", "\r\n", "\r", "\0", "a", "ab", "1", "-7", "é", "\\.", "  ", "\u2028"]
)
FILES = st.lists(PIECES, max_size=20).map("".join).map(lambda text: f"{text}\n")
CELLS = {
    "number": ["1", "-7", '"3"', '""', ""],
    "label": ["a", '"a,b"', '"""a"', '""', "", "é"],
    "choice": ["a", '"ab"', "ab", ""],
    "note": ["", "a b", '"\n"', '"\r\n"', '""""', '"x"",""y"', '"\u2028"', "a\tb"],
}


def rows_of(*names: str, nullable: bool, separator: str = ",") -> CsvRows:
    fields = []
    for name in names:
        rule = text_rule(TYPES[name], "postgresql")
        assert rule is not None
        fields.append((RowField(name, object, required=True, nullable=nullable), rule))
    return CsvRows(fields, separator)


@st.composite
def files(draw: st.DrawFn, names: tuple[str, ...]) -> str:
    """Files that are nearly right, or far from it."""
    line = st.tuples(*(st.sampled_from(CELLS[name]) for name in names)).map(",".join)
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    right = "".join(f"{each}{newline}" for each in draw(st.lists(line, min_size=1, max_size=4)))
    return draw(st.sampled_from([right] * 3 + [right.replace("a", '"', 1)]) | FILES)


def as_read(text: str) -> list[list[str]]:
    """What Python's reader makes of it, without empty lines."""
    return list(filter(None, csv.reader(io.StringIO(text, newline="\n"), strict=True)))


@pytest.mark.parametrize("names", [("note",), ("number", "note"), ("label", "choice", "note")])
@pytest.mark.parametrize("nullable", [False, True])
@given(data=st.data())
def test_rows_that_are_right_are_what_a_reader_of_csv_reads(
    names: tuple[str, ...], data: st.DataObject, *, nullable: bool
) -> None:
    """Whatever stands in them: quotes, newlines, separators."""
    text, rows = data.draw(files(names)), rows_of(*names, nullable=nullable)
    columns = rows.columns(text)

    if columns is not None:
        read = [list(column) for column in zip(*as_read(text), strict=True)]
        assert [[cell or "" for cell in column] for column in columns] == read
        assert any(None in column for column in columns) <= nullable
    if rows.are_right(text):
        assert columns is not None
        assert count_records(text.encode()) == len(columns[0])


GOOD = '1,abc,"so ""it"" is"\n-2,"a,b","x\ny"\n'


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GOOD.replace("1", "x"), id="no number"),
        pytest.param(GOOD.replace("abc", "abcd"), id="too long"),
        pytest.param(GOOD.replace("a,b", 'a""b""'), id="too long with quotes"),
        pytest.param(GOOD.replace("-2", "-2,1"), id="a column more"),
        pytest.param(GOOD.replace("abc", 'a"c'), id="a quote inside"),
        pytest.param(GOOD.replace("x\ny", "x\0y"), id="NUL"),
        pytest.param(GOOD + "\n", id="an empty line"),
        pytest.param(GOOD + "x", id="more behind"),
        pytest.param(f"{GOOD}3,a,{'x' * 131_073}\n", id="longer than a field may be"),
        pytest.param(f'{GOOD}3,a,"{"x" * 131_073}"\n', id="quoted and longer than a field may be"),
        pytest.param(f'{GOOD}3,a,"{"x" * 1500}""{"x" * 129_572}"\n', id="longer with a quote inside"),
    ],
)
def test_a_row_that_is_not_surely_right_leaves_all_to_others(text: str) -> None:
    """They tell what is wrong, if anything is."""
    rows = rows_of("number", "label", "note", nullable=True)

    assert rows.are_right(GOOD)
    assert rows.columns(GOOD) == [["1", "-2"], ["abc", "a,b"], ['so "it" is', "x\ny"]]
    assert not rows.are_right(text)
    assert rows.columns(text) is None


def test_one_kind_of_newline_stands_between_rows_that_a_database_reads() -> None:
    """PostgreSQL refuses the other; inside quotes either is text."""
    rows = rows_of("number", "note", nullable=True)
    mixed = '1,a\r\n2,"a\nb"\r\n'

    assert rows.are_right(mixed)
    assert not rows.are_right(mixed + "3,c\n")
    assert rows.columns(mixed + "3,c\n") == [["1", "2", "3"], ["a", "a\nb", "c"]]
    assert not rows.are_right('1,"\n\\.\n"\n')


def test_what_has_no_pattern_is_left_to_others() -> None:
    """JSON is looked at value by value, and a choice may look like two fields."""
    assert rows_of("number", "facts", nullable=True).columns('1,"{}"\n') == [["1"], ["{}"]]
    assert not rows_of("number", "facts", nullable=True).are_right('1,"{}"\n')
    assert rows_of("odd", "number", nullable=False).columns('"a,b",1\n') is None
    assert rows_of("choice", "note", nullable=True, separator="|").are_right('ab|"a|b"\n|\n')
    assert not any(map(CsvRows.can_read, "-+.: '\\"))
