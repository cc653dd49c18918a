"""Blocks that pyarrow reads: the same values as row by row, or the block is left to the slow way.

Without the extra `fast` nothing is read so, and there is nothing to compare.
"""

import io
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Boolean, Date, DateTime, MetaData, String, Table, Text, Time
from sqlalchemy.dialects.postgresql import BIGINT, DOUBLE_PRECISION, ENUM, INTEGER, NUMERIC, SMALLINT
from sqlalchemy.types import TypeEngine

from handlers.csv_arrays import csv_arrays
from handlers.json_arrays import json_arrays
from handlers.row_faults import RowFaults
from handlers.row_files import CsvFile, JsonFile, RowFile
from handlers.row_model import RowModel
from handlers.table_rows import TableRow, owned_rows, table_row_model
from shards.column_texts import text_rule
from shards.columns import ColumnFacts, TableFacts
from tests.support.bulk_ways import CELLS, HAS_ARROW

MANY = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
TYPES: dict[str, TypeEngine[Any]] = {
    "number": INTEGER(),
    "label": String(5),
    "small": SMALLINT(),
    "big": BIGINT(),
    "note": Text(),
    "colour": ENUM("red", "grün", name="colour"),
    "price": NUMERIC(5, 2),
    "ratio": DOUBLE_PRECISION(),
    "made_on": Date(),
    "made_at": DateTime(),
    "sent_at": DateTime(timezone=True),
    "clock": Time(),
    "sold": Boolean(),
}
RULES = {name: rule for name, type_ in TYPES.items() if (rule := text_rule(type_, "postgresql"))}
ODD_NAME = 'x"note'
RULES[ODD_NAME] = RULES["note"]
REQUIRED = ("number", "label")
CELLS_OF = {**CELLS, "colour": ["red", "grün", "", "blue"]}
JSON_CELLS: dict[str, list[Any]] = {
    "number": [1, -1, 2**31, 1.0, "1"],
    "small": [3, None, 40_000],
    "big": [2**63, 2**63 - 1, None],
    "price": [1.5, 1, "2.50", -0.01, 1.234, None, "1e2", "+1", ".5", "5.", "1_0", " 1", "NaN", "٣", 1e-7],
    "ratio": [1.5, -3, 1e300, None, "1", float("nan"), float("-inf"), 5e-324, -0.0],
    "sold": [True, False, None, 1],
}
STRANGE = [
    *(b'"', b'""', b",", b"\n", b"\r", b"\r\n", b"\0", b" ", b"\t", b"\x7f", b"\\", b"{", b"}"),
    *(b"\xff", b"\xed\xa0\x80", rb"\u0000", rb"\ud800", rb"\ud83d\ude00", rb"\u00fc"),
    *(b"0", b"-", b".", b"e5", b"null", b"NaN", b"Inf", b"+", b"}{", b"}\n{", b",", b"\n{", b"//", b"/**/"),
    *(b"\xef\xbb\xbf", b"\x1e", b"\xc2\xa0", b"[", b"]", b":", rb"\u006e", rb"\/", rb"\x", b"'"),
]


def model_of(types: dict[str, TypeEngine[Any]]) -> RowModel[TableRow]:
    """The model of a table with these columns, those of `REQUIRED` without NULL."""
    columns = tuple(
        ColumnFacts(name, type_, "", name not in REQUIRED, name not in REQUIRED, has_default=False)
        for name, type_ in types.items()
    )
    return table_row_model(TableFacts(Table("t", MetaData()), columns), "postgresql", None)


MODEL = model_of(TYPES)


@st.composite
def strange(draw: st.DrawFn, data: bytes) -> bytes:
    """The same bytes, or with something strange in them."""
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.sampled_from(STRANGE)) + data[at + draw(st.integers(0, 2)) :]
    return data


@st.composite
def csv_data(draw: st.DrawFn) -> bytes:
    """A CSV file of such columns."""
    others = [name for name in TYPES if name not in REQUIRED]
    names = [*REQUIRED, *draw(st.lists(st.sampled_from(others), unique=True, max_size=3))]
    rows = draw(st.lists(st.tuples(*(cells(name) for name in names)), min_size=1, max_size=4))
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    body = newline.join(",".join(map(quoted, row)) for row in rows) + draw(st.sampled_from([newline, ""]))
    return ",".join(names).encode() + b"\n" + draw(strange(body.encode()))


def cells(name: str) -> st.SearchStrategy[str]:
    """Mostly right texts of a column."""
    return st.one_of(st.sampled_from(CELLS_OF[name][:2]), st.sampled_from(CELLS_OF[name]))


def quoted(cell: str) -> str:
    """The cell as a CSV field."""
    return '"' + cell.replace('"', '""') + '"' if any(sign in cell for sign in ',"\r\n') else cell


@st.composite
def json_data(draw: st.DrawFn) -> bytes:
    """A file of JSON Lines with such columns, the same in each line or not."""
    others = [name for name in TYPES if name not in REQUIRED]
    names = [*REQUIRED, *draw(st.lists(st.sampled_from(others), unique=True, max_size=3))]
    escaped, space = draw(st.booleans()), draw(st.sampled_from([(", ", ": "), (",", ":"), (" ,\t", " : ")]))
    alike = draw(st.booleans())
    lines = []
    for _ in range(draw(st.integers(1, 4))):
        given_names = names if alike else draw(st.lists(st.sampled_from(names), unique=True, max_size=5))
        row = {name: draw(json_cells(name)) for name in given_names}
        lines.append(json.dumps(row, ensure_ascii=escaped, separators=space))
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    body = newline.join(lines) + draw(st.sampled_from([newline, ""]))
    return draw(strange(body.encode()))


def json_cells(name: str) -> st.SearchStrategy[Any]:
    """Mostly right values of a column."""
    values = JSON_CELLS.get(name, [cell or None for cell in CELLS_OF[name]])
    return st.one_of(st.sampled_from(values[:1]), st.sampled_from(values))


def slow_rows(file: RowFile[TableRow]) -> tuple[list[tuple[int, TableRow]], RowFaults]:
    """The rows with their numbers, one by one, and what is wrong with others."""
    faults = RowFaults("file")
    rows: list[tuple[int, TableRow]] = []
    for block in file:
        rows += file.rows(block, faults)
        if block.error is not None:
            faults.end(block.error)
    return rows, faults


def fast_rows(columns: Any) -> list[TableRow]:
    """The rows that stand in the arrays."""
    rows: list[TableRow] = columns.arrays.to_pylist()
    assert len(rows) == columns.count
    return rows


def read_csv(data: bytes, model: RowModel[TableRow] = MODEL, separator: str = ",") -> Any:
    """The columns that pyarrow reads of a CSV file's only block; None where it reads none."""
    file = CsvFile(io.BytesIO(data), model, separator)
    read = csv_arrays(file, model, RULES) if HAS_ARROW else None
    return None if read is None else read(data.partition(b"\n")[2])


def read_json(data: bytes, model: RowModel[TableRow] = MODEL, *, updates: bool = False) -> Any:
    """As `read_csv`, of JSON Lines."""
    read = json_arrays(model, RULES, updates=updates) if HAS_ARROW else None
    block = next(iter(JsonFile(io.BytesIO(data), model)))
    return None if read is None else read(block)  # type: ignore[arg-type]


@MANY
@given(data=csv_data())
@example(b'number,label\n1,"a"b\n')
@example(b'number,label\n1,"a\n')
@example(b'number,label\n1,a"b\n2,"c\n"\n')
@example(b"number,label\n\n1,a\n")
@example(b'number,label\n1,"",x"\n')
@example(b"number,label,price\n1,a,1000\n")
@example(b"number,sent_at,label\n1,0001-01-01T00:00:00+14:00,a\n")
def test_csv_is_read_as_row_by_row_or_left(data: bytes) -> None:
    """Whatever pyarrow takes of CSV has the rows, in the lines, that the slow way finds, and no fault."""
    columns = read_csv(data)
    if columns is not None:
        rows, faults = slow_rows(CsvFile(io.BytesIO(data), MODEL))
        assert not faults
        assert rows == list(enumerate(fast_rows(columns), start=2))


@MANY
@given(data=json_data())
@example(b'{"number": 1, "label": "a", "label": "b"}\n')
@example(b'{"number": 1, "label": "a"}{"number": 2, "label": "a"}\n')
@example(b'{"number": 1, "label": "a"}\n\n{"number": 2, "label": "a"}')
@example(b'{"number": 1, "label": "a"}\n{"number": 2}\n')
@example(b'{"number": 1,\n"label": "a"}{"number": 2, "label": "a"}\n')
@example(b'{"number": 1, "label": "a"}{"number": 2, "label": "a"\n}\n')
@example(b'{"number": 1, "label": "a"}\n{}\n')
@example(b'{"number": 1, "label": "a"} {"number": 2, "label": "a"}\n\n')
@example(b'{"number": 1, "label": "a", "ratio": NaN}\n')
@example(b'{"number": 1, "label": "a", "ratio": 1e999}\n')
@example(b'{"label": "a", "number": 1}\n{"number": 2, "label": "a"}\n')
@example(rb'{"number": 1, "label": "\u0000"}')
@example(rb'{"number": 1, "l\u0061bel": "b"}')
@example(b'{"number": 1, "label": null}\n')
@example(b'{"number": 1, "label": "\xff"}\n')
@example(rb'{"number": 1, "label": "\ud83d\ude00\ud800"}')
@example(b'{"number": 1, "label": "a", "other": "b"}\n')
def test_json_lines_are_read_as_row_by_row_or_left(data: bytes) -> None:
    """Whatever pyarrow takes of JSON Lines has the rows that the slow way finds, and no fault."""
    columns = read_json(data) if data else None
    if columns is not None:
        rows, faults = slow_rows(JsonFile(io.BytesIO(data), MODEL))
        assert not faults
        # a column that a row leaves out is NULL: none of these has another value of its own
        given_rows = [(number, {**dict.fromkeys(columns.names), **row}) for number, row in rows]
        assert given_rows == list(enumerate(fast_rows(columns), start=1))


CSV = (
    'label;number;price;note;made_at\na;1;1.50;"x ""y"";\n";2026-11-22 10:00:00\n'
    "b;2;-1;;2026-11-22T10:00:00.5"
)
JSON = (
    r'{"label": "a", "number": 1, "price": 1.50, "note": "x \"y\";\n", "made_at": "2026-11-22 10:00:00"}'
    "\n"
    '{"label": "b", "number": 2, "price": "-1", "note": null, "made_at": "2026-11-22T10:00:00.5"}'
)


RIGHT: dict[str, Any] = {
    **dict.fromkeys(("small", "big", "price", "ratio"), -3),
    "note": "n",
    "colour": "grün",
    "sold": True,
    "made_on": "2026-11-22",
    "made_at": "2026-11-22 10:00:00",
    "sent_at": "2026-11-22T10:00:00+01:00",
}


@pytest.mark.parametrize("name", RIGHT)
def test_usual_values_are_read_at_once(name: str) -> None:
    """No type that pyarrow has goes the slow way for nothing, nor does NULL."""
    csv = read_csv(f"number,label,{name}\n1,a,{RIGHT[name]}\n2,b,\n".encode())
    lines = [json.dumps({"number": 1, "label": "a", name: value}) + "\n" for value in (RIGHT[name], None)]
    columns = read_json("".join(lines).encode())

    if HAS_ARROW:
        assert [row[name] for row in fast_rows(csv)] == [row[name] for row in fast_rows(columns)]


def test_usual_files_are_read_at_once() -> None:
    """What partners usually send does not go the slow way."""
    columns = [read_csv(CSV.encode(), separator=";"), read_json(JSON.encode())]

    if HAS_ARROW:
        assert fast_rows(columns[0]) == fast_rows(columns[1])
        assert [row["note"] for row in fast_rows(columns[0])] == ['x "y";\n', None]


@pytest.mark.parametrize("second", ['"small": 2', '"small": 2, "x\\"note": "note"'])
def test_null_is_told_from_no_value_where_it_is_another_one(second: str) -> None:
    """Of a row that is updated, a column that is left out keeps what it has; NULL would take its place."""
    model = model_of({**TYPES, ODD_NAME: Text()})
    first = json.dumps({"number": 1, "label": "a", "note": "n", "small": 1, ODD_NAME: ""})
    lines = f'{first}\n{{"number": 2, "label": "a", {second}}}\n'.encode()

    assert read_json(lines, model, updates=True) is None
    if HAS_ARROW:
        assert fast_rows(read_json(lines, model))[1]["note"] is None


def test_null_that_is_written_is_read_at_once() -> None:
    """Also where rows are updated."""
    lines = b'{"number": 1, "label": "a", "note" : null}\n{"number": 1,"note":null,"label": ""}\n'
    columns = read_json(lines, updates=True)

    if HAS_ARROW:
        assert [row["note"] for row in fast_rows(columns)] == [None, None]


@pytest.mark.parametrize("named", [None, "c-1", "c-2", ""])
def test_each_row_has_its_owner(named: str | None) -> None:
    """The job's customer stands in each row; a row that names another one is left to the slow way."""
    model = owned_rows(MODEL, "note", "c-1")
    in_csv, in_json = ("", "") if named is None else (",note", f', "note": {json.dumps(named or None)}')
    csv = read_csv(f"number,label{in_csv}\n1,a{'' if named is None else f',{named}'}\n".encode(), model)
    lines = read_json(f'{{"number": 1, "label": "a"{in_json}}}'.encode(), model)

    if HAS_ARROW:
        right = [{"number": 1, "label": "a", "note": "c-1"}]
        for columns in (csv, lines):
            assert (columns is None) if named == "c-2" else (fast_rows(columns) == right)
