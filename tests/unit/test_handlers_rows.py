"""Reading CSV and JSON Lines: every row as it was written, every fault by row and column, bounded memory."""

import csv
import dataclasses
import io
import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NotRequired, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.result import ErrorDetail
from handlers import Reject, csv_rows, json_rows
from handlers.rows import RECORD_BYTES_MAXIMUM

SECRET = "s3cret"


class Line(msgspec.Struct):
    order_no: int
    article: str
    note: str | None = None
    quantity: int | None = None
    price: Decimal | None = None
    ordered_at: datetime | None = None
    paid: bool = False


HEADER = "order_no,article,note,quantity,price,ordered_at,paid\n"


def read_csv(text: str | bytes, model: Any = Line) -> list[Any]:
    data = text.encode() if isinstance(text, str) else text
    return list(csv_rows(io.BytesIO(data), model))


def read_json(text: str | bytes, model: Any = Line) -> list[Any]:
    data = text.encode() if isinstance(text, str) else text
    return list(json_rows(io.BytesIO(data), model))


def csv_faults(text: str | bytes, model: Any = Line) -> tuple[ErrorDetail, ...]:
    return faults_of(lambda: read_csv(text, model))


def json_faults(text: str | bytes, model: Any = Line) -> tuple[ErrorDetail, ...]:
    return faults_of(lambda: read_json(text, model))


def faults_of(read: Any) -> tuple[ErrorDetail, ...]:
    with pytest.raises(Reject) as caught:
        read()
    assert caught.value.code == "invalid_rows"
    assert SECRET not in f"{caught.value.message} {caught.value.details}"
    return caught.value.details


def test_a_row_has_the_types_of_its_model() -> None:
    """CSV knows only text; the model says what it is."""
    text = f'{HEADER}7,Chair,"so ""called""",4,19.90,2026-11-21T10:00:00Z,true\n'

    (row,) = read_csv(text)

    assert row.order_no == 7
    assert row.note == 'so "called"'
    assert row.price == Decimal("19.90")
    assert row.ordered_at.year == 2026
    assert row.paid is True


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_files_of_any_spreadsheet_are_read(mark: bytes, newline: str) -> None:
    """A byte order mark and either newline make no difference; an empty line is no row."""
    text = newline.join(["order_no,article", "1,a", "", '2,"b', 'c"', ""])

    rows = read_csv(mark + text.encode())

    assert [(row.order_no, row.article) for row in rows] == [(1, "a"), (2, f"b{newline}c")]


def test_an_empty_field_is_none_where_the_model_takes_none() -> None:
    """Else it is the empty text, which only a text field takes."""
    (row,) = read_csv(f"{HEADER}1,,,,,,1\n")

    assert (row.article, row.note, row.quantity, row.price, row.ordered_at) == ("", None, None, None, None)
    assert csv_faults("order_no,article\n,a\n") == (
        ErrorDetail(row=1, column="order_no", rule="expected int"),
    )


def test_columns_may_stand_in_any_order_and_optional_ones_may_be_absent() -> None:
    """The header decides; the model's defaults stand for what is absent."""
    (row,) = read_csv("article,order_no\na,1\n")

    assert row == Line(order_no=1, article="a")


def test_every_fault_of_every_row_is_told_with_row_and_column() -> None:
    """A partner corrects a file in one go; rows are counted from the first after the header."""
    text = (
        "order_no,article,quantity,price,ordered_at\n"
        "1,a,1,1.5,2026-11-21T10:00:00\n"
        f"{SECRET},b,{SECRET},1_0,20261121\n"
        "2,c\n"
        "x,d,,,\n"
    )

    assert csv_faults(text) == (
        ErrorDetail(row=2, column="order_no", rule="expected int"),
        ErrorDetail(row=2, column="quantity", rule="expected int"),
        ErrorDetail(row=2, column="price", rule="expected decimal"),
        ErrorDetail(row=2, column="ordered_at", rule="expected datetime"),
        ErrorDetail(row=3, rule="expected 5 columns, found 2"),
        ErrorDetail(row=4, column="order_no", rule="expected int"),
    )


def test_no_more_than_a_hundred_faults_are_told() -> None:
    """A file that is wrong from end to end is not read to its end."""
    assert len(csv_faults("order_no,article\n" + "x,a\n" * 5000)) == 100


def test_rows_end_at_the_first_fault() -> None:
    """What comes after a bad row is looked at, not handed out."""
    rows = csv_rows(io.BytesIO(b"order_no,article\n1,a\nx,b\n3,c\n"), Line)

    assert next(rows).order_no == 1
    with pytest.raises(Reject):
        next(rows)


@pytest.mark.parametrize(
    ("header", "faults"),
    [
        ("order_no,article,colour", [ErrorDetail(column="colour", rule="unknown column")]),
        ("article", [ErrorDetail(column="order_no", rule="missing required column")]),
        ("order_no,article,article", [ErrorDetail(column="article", rule="repeated column")]),
        (
            f"order_no,article,{SECRET} 49",
            [ErrorDetail(column="(a name that is none)", rule="unknown column")],
        ),
    ],
)
def test_a_header_that_does_not_fit_is_told_before_any_row(header: str, faults: list[ErrorDetail]) -> None:
    """Unknown, missing and repeated columns are the file's faults, not a row's."""
    assert csv_faults(f"{header}\n1,2,3\n") == tuple(faults)


def test_a_first_line_of_values_is_not_told_as_columns() -> None:
    """A file without a header would show its first row's values."""
    (fault,) = csv_faults(f"7,{SECRET}\n8,b\n")

    assert fault.rule is not None
    assert "no header" in fault.rule


@pytest.mark.parametrize(
    "text",
    [
        b'order_no,article\n1,"a\n',
        b'order_no,article\n1,"a"b\n',
        b"order_no,article\r1,a\r",
        b"order_no,article\n1,a\rb\n",
    ],
)
def test_what_is_no_csv_is_told(text: bytes) -> None:
    """An open quote, text behind a quote and old newlines are faults, not other rows than were meant."""
    assert "not CSV" in (csv_faults(text)[-1].rule or "")


def test_text_that_is_not_utf_8_is_told_with_its_row() -> None:
    """A file in another encoding is refused instead of stored as other letters."""
    assert csv_faults("order_no,article\n1,a\n2,ä\n".encode("latin-1")) == (
        ErrorDetail(row=2, rule="not UTF-8"),
    )
    assert csv_faults("order_no,article\n1,a\n".encode("utf-16")) == (ErrorDetail(rule="not UTF-8"),)


def test_files_without_rows_have_no_rows() -> None:
    """Nothing to insert is no fault."""
    assert read_csv("") == []
    assert read_csv(HEADER) == []
    assert read_json("") == []
    assert read_json("\n \n\r\n") == []


class Endless(io.RawIOBase):
    """A file of one byte repeated without end; it remembers how much was asked for at once."""

    def __init__(self, start: bytes, pattern: bytes) -> None:
        super().__init__()
        self._start = start
        self._pattern = pattern
        self.read_bytes = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        """The next line, of which at most `size` bytes are asked for."""
        assert size is not None
        assert 0 < size <= RECORD_BYTES_MAXIMUM + 1
        line = self._pattern
        if self._start:
            first, newline, self._start = self._start.partition(b"\n")
            line = first + newline
        line = line[:size]
        self.read_bytes += len(line)
        return line


TOO_LONG = f"longer than {RECORD_BYTES_MAXIMUM} bytes"


@pytest.mark.parametrize(
    ("start", "pattern", "rule"),
    [
        pytest.param(b"order_no,article\n", b"x" * 2**21, TOO_LONG, id="one line"),
        pytest.param(b"", b"a," * 2**20, TOO_LONG, id="a header"),
        pytest.param(b'order_no,article\n1,"', b'a","\n', TOO_LONG, id="many fields over many lines"),
        pytest.param(b'order_no,article\n1,"', b"a\n", "not CSV", id="one field over many lines"),
    ],
)
def test_a_csv_record_without_end_is_refused_after_its_limit(start: bytes, pattern: bytes, rule: str) -> None:
    """One line, or one record of many lines: memory stays bounded."""
    stream = Endless(start, pattern)

    (fault,) = faults_of(lambda: list(csv_rows(stream, Line)))  # type: ignore[arg-type]

    assert fault.rule is not None
    assert fault.rule.startswith(rule)
    assert stream.read_bytes <= 2 * RECORD_BYTES_MAXIMUM


def test_a_json_line_without_end_is_refused_after_its_limit() -> None:
    """A gibibyte without a newline is never in memory."""
    stream = Endless(b'{"order_no":1,"article":"a"}\n', b"[" * 2**21)

    (fault,) = faults_of(lambda: list(json_rows(stream, Line)))  # type: ignore[arg-type]

    assert fault == ErrorDetail(row=2, rule=TOO_LONG)


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
        ErrorDetail(row=1, rule="not of the form that is asked for"),
    )


class Plain(msgspec.Struct):
    number: int
    text: str
    ratio: float
    price: Decimal
    day: date
    flag: bool


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
ROWS = st.lists(
    st.builds(
        Plain,
        number=st.integers(-(2**63), 2**63 - 1),
        text=TEXT,
        ratio=st.floats(allow_nan=False, allow_infinity=False),
        price=st.decimals(allow_nan=False, allow_infinity=False, places=4),
        day=st.dates(),
        flag=st.booleans(),
    )
)


@given(rows=ROWS)
def test_rows_written_as_csv_are_read_as_they_were(rows: list[Plain]) -> None:
    """Quotes, commas, newlines and any letters come back."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(Plain.__struct_fields__)
    for row in rows:
        writer.writerow(
            str(value).lower() if value in {True, False} else value for value in msgspec.structs.astuple(row)
        )

    assert read_csv(text.getvalue(), Plain) == rows


@given(rows=ROWS)
def test_rows_written_as_json_lines_are_read_as_they_were(rows: list[Plain]) -> None:
    """Every value comes back equal."""
    data = b"\n".join(msgspec.json.encode(row) for row in rows)

    assert read_json(data, Plain) == rows


@given(data=st.binary() | TEXT.map(lambda text: f"number,text,ratio,price,day,flag\n{text}".encode()))
def test_any_bytes_are_rows_or_a_rejection(data: bytes) -> None:
    """Whatever a partner uploads, nothing but Reject is raised, and what is told is JSON."""
    for read in (read_csv, read_json):
        try:
            read(data, Plain)
        except Reject as rejection:
            json.dumps(msgspec.to_builtins(rejection.details))


CELLS = st.sampled_from(
    ["1", "x", "", '"', "\r", "\n", ",", "nan", "1e999", "\0", "é", "2026-01-01", "true", "null"]
)


@given(cells=st.lists(CELLS))
def test_any_text_of_csvs_own_signs_is_rows_or_a_rejection(cells: list[str]) -> None:
    """Files that are nearly right find the corners that random bytes do not."""
    try:
        read_csv("number,text,ratio,price,day,flag\n" + "".join(cells), Plain)
    except Reject as rejection:
        json.dumps(msgspec.to_builtins(rejection.details))
