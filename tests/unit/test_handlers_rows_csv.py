"""Reading CSV: every row as it was written, every fault by row and column."""

import io
from decimal import Decimal
from typing import Any

import pytest

from config.result import ErrorDetail
from handlers import Reject, csv_rows
from tests.support.row_files import SECRET, Line, csv_faults, faults_of, read_csv, read_json

HEADER = "order_no,article,note,quantity,price,ordered_at,paid\n"


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
        ErrorDetail(row=2, column="order_no", rule="expected int"),
    )


def test_columns_may_stand_in_any_order_and_optional_ones_may_be_absent() -> None:
    """The header decides; the model's defaults stand for what is absent."""
    (row,) = read_csv("article,order_no\na,1\n")

    assert row == Line(order_no=1, article="a")


def test_every_fault_of_every_row_is_told_with_row_and_column() -> None:
    """A partner corrects a file in one go; rows are counted as a spreadsheet counts them."""
    text = (
        "order_no,article,quantity,price,ordered_at\n"
        "1,a,1,1.5,2026-11-21T10:00:00\n"
        f"{SECRET},b,{SECRET},1_0,20261121\n"
        "2,c\n"
        "x,d,,,\n"
    )

    assert csv_faults(text) == (
        ErrorDetail(row=3, column="order_no", rule="expected int"),
        ErrorDetail(row=3, column="quantity", rule="expected int"),
        ErrorDetail(row=3, column="price", rule="expected decimal"),
        ErrorDetail(row=3, column="ordered_at", rule="expected datetime"),
        ErrorDetail(row=4, rule="expected 5 columns, found 2"),
        ErrorDetail(row=5, column="order_no", rule="expected int"),
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
    ("header", "code", "faults"),
    [
        ("order_no,article,colour", "unknown_columns", [ErrorDetail(column="colour", rule="unknown column")]),
        ("article", "missing_columns", [ErrorDetail(column="order_no", rule="missing required column")]),
        (
            "order_no,article,article",
            "repeated_columns",
            [ErrorDetail(column="article", rule="repeated column")],
        ),
        (
            f"order_no,article,{SECRET} 49",
            "unknown_columns",
            [ErrorDetail(column="(a name that is none)", rule="unknown column")],
        ),
    ],
)
def test_a_header_that_does_not_fit_is_told_before_any_row(
    header: str, code: str, faults: list[ErrorDetail]
) -> None:
    """Unknown, missing and repeated columns are the file's faults, not a row's."""
    assert csv_faults(f"{header}\n1,2,3\n", code=code) == tuple(faults)


def test_a_first_line_of_values_is_not_told_as_columns() -> None:
    """A file without a header would show its first row's values."""
    (fault,) = csv_faults(f"7,{SECRET}\n8,b\n", code="no_header")

    assert fault.rule is not None
    assert "no header" in fault.rule


@pytest.mark.parametrize(
    ("text", "code", "row"),
    [
        (b'order_no,article\n1,a\n2,"a\n3,b\n', "quote_not_closed", 3),
        (b'order_no,article\n\n1,"a"b\n', "not_csv", 3),
        (b"order_no,article\r1,a\r", "not_csv", 1),
        (b"order_no,article\n1,a\rb\n", "not_csv", 2),
        (b'order_no,article\n1,"a\0b"\n', "nul_bytes", 2),
        (b"order_no,article\n1,a,b\n", "column_count", 2),
        (b"order_no,article\n1,a\n2\n", "column_count", 3),
    ],
)
def test_what_is_no_csv_is_told(text: bytes, code: str, row: int) -> None:
    """An open quote, text behind a quote and old newlines are faults, not other rows than were meant."""
    assert [fault.row for fault in csv_faults(text, code=code)] == [row]


def test_text_that_is_not_utf_8_is_told_with_its_row() -> None:
    """A file in another encoding is refused instead of stored as other letters."""
    assert csv_faults("order_no,article\n1,a\n2,ä\n".encode("latin-1"), code="wrong_encoding") == (
        ErrorDetail(row=3, rule="not UTF-8"),
    )
    assert csv_faults("order_no,article\n1,a\n".encode("utf-16"), code="wrong_encoding") == (
        ErrorDetail(row=1, rule="not UTF-8"),
    )


@pytest.mark.parametrize(
    ("read", "text", "code"),
    [
        (read_csv, "", "empty_file"),
        (read_csv, "\n\r\n", "empty_file"),
        (read_csv, HEADER, "no_rows"),
        (read_json, "", "empty_file"),
        (read_json, "\n \n\r\n", "no_rows"),
    ],
)
def test_files_without_rows_are_told(read: Any, text: str, code: str) -> None:
    """A file that was cut off, or made of nothing, is no success: its sender is told."""
    assert [fault.rule for fault in faults_of(lambda: read(text), code)]
