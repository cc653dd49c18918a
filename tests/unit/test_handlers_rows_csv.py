"""Reading CSV: every row as it was written, every fault by row and column."""

import io
from decimal import Decimal

import pytest

from config.result import ErrorDetail
from handlers import Reject, csv_rows
from tests.support.row_files import SECRET, Line, csv_faults, read_csv, read_json

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
