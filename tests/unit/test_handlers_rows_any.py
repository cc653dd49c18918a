"""Reading rows whatever the file holds: what was written comes back, any bytes end, in bounded memory."""

import csv
import io
import json
from datetime import date
from decimal import Decimal
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.result import ErrorDetail
from handlers import csv_rows, json_rows
from handlers.csv_blocks import RECORD_BYTES_MAXIMUM
from tests.support.rejections import details_of
from tests.support.row_files import Line, faults_of, read_csv, read_json


class Endless(io.RawIOBase):
    """A file of a pattern repeated without end; it remembers how much was read."""

    def __init__(self, start: bytes, pattern: bytes) -> None:
        super().__init__()
        self._start = start
        self._pattern = pattern
        self._at = 0
        self.read_bytes = 0

    def seek(self, offset: int, _whence: int = 0, /) -> int:
        """Begin again."""
        self._at = offset
        return offset

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes, of which at most `size` are asked for."""
        assert size is not None
        assert 0 < size <= RECORD_BYTES_MAXIMUM + 1
        data = self._start[self._at : self._at + size]
        while len(data) < size:
            at = (self._at + len(data) - len(self._start)) % len(self._pattern)
            data += self._pattern[at : at + size - len(data)]
        self._at += size
        self.read_bytes += size
        return data


NEVER_CLOSED = "a quote is never closed"
TOO_LONG = f"longer than {RECORD_BYTES_MAXIMUM} bytes"


@pytest.mark.parametrize(
    ("start", "pattern", "code", "rule"),
    [
        pytest.param(b"order_no,article\n", b"x" * 2**21, "record_too_long", TOO_LONG, id="one line"),
        pytest.param(b"", b"a," * 2**20, "record_too_long", TOO_LONG, id="a header"),
        pytest.param(
            b'order_no,article\n1,"', b'a","\n', "record_too_long", TOO_LONG, id="many quoted fields"
        ),
        pytest.param(b'order_no,article\n1,"', b"a\n", "quote_not_closed", NEVER_CLOSED, id="one field"),
    ],
)
def test_a_csv_record_without_end_is_refused_after_its_limit(
    start: bytes, pattern: bytes, code: str, rule: str
) -> None:
    """One line, or one record of many lines: memory stays bounded."""
    stream = Endless(start, pattern)

    (fault,) = faults_of(lambda: list(csv_rows(stream, Line)), code)  # type: ignore[arg-type]

    assert fault.rule == rule
    assert stream.read_bytes <= 3 * RECORD_BYTES_MAXIMUM


def test_a_json_line_without_end_is_refused_after_its_limit() -> None:
    """A gibibyte without a newline is never in memory."""
    stream = Endless(b'{"order_no":1,"article":"a"}\n', b"[" * 2**21)

    (fault,) = faults_of(lambda: list(json_rows(stream, Line)), "record_too_long")  # type: ignore[arg-type]

    assert fault == ErrorDetail(row=2, rule=TOO_LONG)


class Plain(msgspec.Struct):
    number: int
    text: str
    ratio: float
    price: Decimal
    day: date
    flag: bool


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
ROWS = st.lists(
    st.builds(
        Plain,
        number=st.integers(-(2**63), 2**63 - 1),
        text=TEXT,
        ratio=st.floats(allow_nan=False, allow_infinity=False),
        price=st.decimals(allow_nan=False, allow_infinity=False, places=4),
        day=st.dates(),
        flag=st.booleans(),
    ),
    min_size=1,
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
        assert json.dumps(msgspec.to_builtins(details_of(partial(read, data, Plain))))


CELLS = st.sampled_from(
    ["1", "x", "", '"', "\r", "\n", ",", "nan", "1e999", "\0", "é", "2026-01-01", "true", "null"]
)


@given(cells=st.lists(CELLS))
def test_any_text_of_csvs_own_signs_is_rows_or_a_rejection(cells: list[str]) -> None:
    """Files that are nearly right find the corners that random bytes do not."""
    text = "number,text,ratio,price,day,flag\n" + "".join(cells)
    assert json.dumps(msgspec.to_builtins(details_of(lambda: read_csv(text, Plain))))
