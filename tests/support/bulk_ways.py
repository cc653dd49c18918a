"""The ways in which a file of rows can go into a table, and what each of them makes of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from config.settings import InsertHandler
from handlers.registry import HandlerSpec, insert_spec
from handlers.row_model import DECIMAL
from handlers.testing import run_handler
from shards import load_postgresql, row_columns
from shards.engines import Shard

WAYS = ("arrays", "csv", "texts", "rows")
"""pyarrow's arrays, CSV as it stands in the file, columns of texts, and each row by itself: the last one is
what the others must equal."""

COLUMNS = {
    "postgresql": {
        "number": "integer NOT NULL",
        "small": "smallint",
        "big": "bigint",
        "label": "varchar(5) NOT NULL",
        "note": "text",
        "price": "numeric(5,2)",
        "any_price": "numeric",
        "ratio": "double precision",
        "single": "real",
        "made_on": "date",
        "made_at": "timestamp",
        "sent_at": "timestamptz",
        "clock": "time",
        "sold": "boolean DEFAULT true",
        "facts": "jsonb",
        "code": "uuid",
    },
    "mariadb": {
        "number": "integer NOT NULL",
        "small": "smallint",
        "big": "bigint",
        "label": "varchar(5) NOT NULL",
        "note": "text",
        "price": "decimal(5,2)",
        "ratio": "double",
        "single": "float",
        "made_on": "date",
        "made_at": "datetime(6)",
        "clock": "time",
        "sold": "boolean DEFAULT true",
        "facts": "json",
    },
    "sqlite": {
        "number": "INTEGER NOT NULL",
        "label": "VARCHAR(5) NOT NULL",
        "note": "TEXT",
        "price": "NUMERIC(5, 2)",
        "ratio": "DOUBLE",
        "made_on": "DATE",
        "made_at": "DATETIME",
        "clock": "TIME",
        "sold": "BOOLEAN DEFAULT 1",
        "facts": "JSON",
    },
}
ONLY_TEXTS = {"any_price", "single", "facts", "code"}
ARRAY_COLUMNS = tuple(name for name in COLUMNS["postgresql"] if name not in ONLY_TEXTS)
CELLS = {
    "number": [
        "0",
        "-1",
        "7",
        "007",
        "2147483647",
        "2147483648",
        "-0",
        "1e3",
        "+1",
        "0x1F",
        " 1",
        "1_0",
        "٣",
    ],
    "small": ["", "1", "32767", "32768", "null"],
    "big": ["9223372036854775807", "9223372036854775808", "", "-5"],
    "label": [
        "a",
        "",
        "äöüßé",
        "toolong",
        "null",
        "NULL",
        "x\ty",
        "\x1d",
        "\x1e",
        "\x1f",
        "\\N",
        "a\\",
        '"',
        "a,b",
    ],
    "note": ["", " ", "a\nb", "a\r\nb", "null", "\\.", 'say ""', "\u2028", "𝄞", "\ufeffx", "x" * 300],
    "price": ["", "1", "1.5", "-999.99", "1000", "1.234", "1.500", ".5", "5.", "1e2", "NaN", "-0", "--1"],
    "any_price": ["", "1.50", "1e3", "0.000", "123456789012345678901234567890.5"],
    "ratio": ["", "0.1", "-1e10", "1e400", "nan", "5", "1.7976931348623157e308", "1e-320", "-0.0"],
    "single": ["", "0.1", "16777217"],
    "made_on": ["", "2026-11-21", "2026-02-30", "0000-01-01", "0001-01-01", "20261121", "9999-12-31"],
    "made_at": [
        "",
        "2026-11-21T10:00:00",
        "2026-11-21 10:00:00.5",
        "2026-11-21T10:00:00Z",
        "2026-02-30T10:00:00",
        "2026-11-21T24:00:00",
        "0001-01-01T00:00:00",
        "2026-11-21T10:00",
        "2026-11-21T10:00:00.1234567",
        "2026-11-21T10:00:00+02:00",
        "0000-01-01T00:00:00",
    ],
    "sent_at": [
        "",
        "2026-11-21T10:00:00Z",
        "2026-11-21T10:00:00+05:30",
        "2026-11-21T10:00:00",
        "2026-11-21T10:00:00-23:59",
    ],
    "clock": ["", "10:00:00", "23:59:59.999999", "24:00:00", "10:00"],
    "sold": ["true", "false", "1", "0", "TRUE", "", "yes", "tRue"],
    "facts": ["", "null", '{"a": 1.10}', "[1, 2]", "{", '"x"', "1e2"],
    "code": ["", "6f1c1a52-6c1b-4b8e-9a52-0c2a2f1d9b11", "6F1C1A52-6C1B-4B8E-9A52-0C2A2F1D9B11", "x"],
}


HAS_ARROW = load_postgresql.has_arrow()
"""Without the extra `fast` there are no arrays: that way is the texts' then."""


class Outcome(NamedTuple):
    """What became of a file: what the partner is told, and what stands in the table."""

    told: Any
    rows: list[Any]


def create_table(connection: Connection) -> None:
    """The table of all kinds of columns."""
    columns = COLUMNS[connection.dialect.name].items()
    unique = "CONSTRAINT twice UNIQUE (number)"
    connection.execute(
        text(f"CREATE TABLE kinds ({', '.join(f'{name} {kind}' for name, kind in columns)}, {unique})")
    )


@st.composite
def csv_files(draw: st.DrawFn, dialect: str, *, only: tuple[str, ...] | None = None) -> bytes:
    """Files that are right, nearly right, or far from it; `only` such columns."""
    known = [name for name in COLUMNS[dialect] if only is None or name in only]
    optional = draw(
        st.lists(st.sampled_from([n for n in known if n not in {"number", "label"}]), unique=True)
    )
    names = draw(st.permutations(["number", "label", *optional]))
    rows = draw(st.lists(st.tuples(*(_cells(name) for name in names)), max_size=4))
    quote_all = draw(st.booleans())
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    lines = [",".join(names), *(",".join(_quoted(cell, always=quote_all) for cell in row) for row in rows)]
    text_of_file = newline.join(lines) + draw(st.sampled_from([newline, "", newline * 2]))
    data = text_of_file.encode()
    return draw(st.sampled_from([data] * 6 + [data.replace(b"a", b'"', 1), data + b"\xff", data + b'"x\n']))


@st.composite
def json_files(draw: st.DrawFn, dialect: str, *, only: tuple[str, ...] | None = None) -> bytes:
    """Files of JSON Lines: right, nearly right, or far from it; `only` such columns."""
    known = [name for name in COLUMNS[dialect] if only is None or name in only]
    names = [name for name in known if name not in {"number", "label"}]
    optional = draw(st.lists(st.sampled_from(names), unique=True))
    escaped, alike = draw(st.booleans()), draw(st.booleans())
    lines = []
    for number in draw(st.lists(st.integers(1, 5), max_size=4)):
        names = [name for name in optional if alike or draw(st.booleans())]
        values = {name: draw(_json_value(name)) for name in ["label", *names]}
        lines.append(json.dumps({"number": number, **values}, ensure_ascii=escaped))
    newline = draw(st.sampled_from(["\n", "\r\n", "\n\n"]))
    data = newline.join(lines).encode("utf-8", "surrogatepass")
    return draw(st.sampled_from([data] * 5 + [data + b"{}{}", data.replace(b",", b"\n", 1), data + b"\n[]"]))


def outcome(shard: Shard, way: str, name: str, data: bytes) -> Outcome:
    """What becomes of the file when it goes this way; nothing of it stays."""
    spec = _spec()
    with shard.connect() as connection, only_way(way):
        run = run_handler(spec, None, connection, attachments={name: data}, commit=True)
    with shard.connect() as connection, connection.begin():
        rows = connection.execute(text("SELECT * FROM kinds ORDER BY number")).all()
        connection.execute(text("DELETE FROM kinds"))
    told = run.result if run.error is None else (run.error.code, run.error.message, run.error.details)
    return Outcome(told, [repr([_plain(value) for value in row]) for row in rows])


def _plain(value: Any) -> Any:
    # a driver's literal loses the sign of zero, which is the same number
    return value + 0.0 if isinstance(value, float) else value


@cache
def _spec() -> HandlerSpec:
    return insert_spec(InsertHandler(type="t", table="kinds", source="attachments"))


def _cells(name: str) -> st.SearchStrategy[str]:
    right = {"number": st.integers(1, 6).map(str), "label": st.text(st.characters(codec="utf-8"), max_size=5)}
    return st.one_of(
        right.get(name, st.just("")), st.sampled_from(CELLS[name][:3]), st.sampled_from(CELLS[name])
    )


def _json_value(name: str) -> st.SearchStrategy[Any]:
    texts = st.sampled_from(CELLS[name])
    numbers = texts.filter(lambda cell: DECIMAL.fullmatch(cell) is not None).map(float)
    odd: list[Any] = [None, True, False, 1, 1.5, 2**70, "\0", "\ud800", [1], {"a": None}]
    return st.one_of(texts, numbers, st.sampled_from(odd[:3]), st.sampled_from(odd))


def _quoted(cell: str, *, always: bool) -> str:
    needs = always or any(sign in cell for sign in ',"\r\n')
    return '"' + cell.replace('"', '""') + '"' if needs else cell


@contextmanager
def only_way(way: str) -> Iterator[None]:
    """Inside the block, files go this way only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_columns, "ROWS_MINIMUM", 1)
        patch.setattr(load_postgresql, "has_arrow", lambda: way == "arrays" and HAS_ARROW)
        if way == "texts":
            patch.setattr(load_postgresql.PostgreSQLLoader, "takes_csv", False)
        if way == "rows":
            patch.setattr("handlers.file_load.open_loader", lambda *_: None)
            patch.setattr(row_columns, "open_loader", lambda *_: None)
        yield
