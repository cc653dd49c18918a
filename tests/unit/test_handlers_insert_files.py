"""The built-in handler on attachments: CSV and JSON Lines, and misfits told with the file's name."""

import gzip
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from config.result import ErrorDetail
from config.settings import InsertHandler
from handlers.registry import insert_spec
from handlers.testing import HandlerRun, run_handler
from tests.support.items import MOMENT, SECRET, error_of, items_engine, stored


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = items_engine(tmp_path)
    yield engine
    engine.dispose()


def insert_files(engine: Engine, files: dict[str, bytes], **section: Any) -> HandlerRun:
    spec = insert_spec(InsertHandler(type="t", table="items", source="attachments", **section))
    return run_handler(spec, None, engine, attachments=files, commit=True)


def test_rows_come_from_csv_and_json_lines_attachments(engine: Engine) -> None:
    """Each file is read by its kind; the counts add up."""
    csv_file = (
        b'item_no,name,price,made_at,sold,facts\r\n1,Chair,19.90,2026-11-21T10:00:00,1,"{""legs"":4}"\r\n'
    )
    json_file = b'{"item_no":2,"name":"Table","price":1234.56}\n'

    run = insert_files(engine, {"a.CSV": csv_file, "b.jsonl": json_file})

    assert run.result == {"inserted": 2}
    assert stored(engine, "price", "facts") == [(Decimal("19.90"), {"legs": 4}), (Decimal("1234.56"), None)]


def test_misfits_of_an_attachment_are_told_with_its_name(engine: Engine) -> None:
    """Row numbers are each file's own."""
    files = {
        "a.csv": b"item_no,name\n1,a\n",
        "b.csv": f"item_no,name,price,made_at,facts\n2,a,1 000,20261121,{SECRET}\n3\n".encode(),
    }

    run = insert_files(engine, files)

    details = error_of(run, "invalid_rows")
    assert run.error is not None
    assert "'b.csv'" in run.error.message
    assert [(detail.row, detail.column, detail.rule) for detail in details] == [
        (2, "price", "expected decimal"),
        (2, "made_at", "expected datetime"),
        (2, "facts", "expected JSON"),
        (3, None, "expected 5 columns, found 1"),
    ]
    assert stored(engine) == []


def test_a_file_of_neither_kind_is_refused(engine: Engine) -> None:
    """Nothing is guessed from a file's content."""
    assert error_of(insert_files(engine, {"a.xml": b"<a/>"}), "invalid_rows") == ()


def test_a_job_without_attachments_is_refused(engine: Engine) -> None:
    """Where rows are expected in files, no file is a mistake."""
    assert error_of(insert_files(engine, {}), "invalid_payload") == ()


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8"])
def test_files_are_read_as_the_configuration_says_they_are_written(engine: Engine, encoding: str) -> None:
    """Encoding, separator and forms of dates are the job type's; packed by gzip or not."""
    text = "name;item_no;price;made_at;made_on\r\nStühle;1;19.90;21.11.2026 10:00;21.11.2026\r\n"
    data = ("\ufeff" * (encoding == "utf-8") + text).encode(encoding)
    section = {"encoding": encoding, "separator": ";"}
    section |= {"date_form": "%d.%m.%Y", "datetime_form": "%d.%m.%Y %H:%M"}

    run = insert_files(engine, {"a.csv": data, "b.csv.gz": gzip.compress(data)}, **section)

    assert error_of(run, "unique_violation") == (ErrorDetail(row=2, column="item_no", rule="unique"),)
    assert insert_files(engine, {"b.csv.gz": gzip.compress(data)}, **section).result == {"inserted": 1}
    assert stored(engine, "name", "made_at", "made_on") == [("Stühle", MOMENT, MOMENT.date())]


@pytest.mark.parametrize(
    ("data", "section", "code"),
    [
        (gzip.compress(b"item_no,name\n" + b"1,a\n" * 5000), {"max_unpacked": 9999}, "unpacked_too_large"),
        (gzip.compress(b"item_no,name\n1,a\n")[:-9], {}, "not_gzip"),
        (b"item_no,name\n1,\xff\n", {"encoding": "utf-16"}, "wrong_encoding"),
        (b"item_no,name\n1,\x81\n", {"encoding": "cp1252"}, "wrong_encoding"),
        (b"item_no,name\n1,\xff\n", {}, "wrong_encoding"),
        (b"", {}, "empty_file"),
        (gzip.compress(b""), {}, "empty_file"),
        (b"item_no,name\n\n", {}, "no_rows"),
        (
            b"item_no,made_on,name\n1,21.11.2026,a\n2,2026-11-21,b\n",
            {"date_form": "%d.%m.%Y"},
            "invalid_rows",
        ),
    ],
    ids=[
        *("a bomb", "cut short", "half a character", "no such character", "no UTF-8"),
        *("empty", "packed and empty", "a header alone", "another form of date"),
    ],
)
def test_what_is_wrong_with_a_file_has_its_own_code(
    engine: Engine, data: bytes, section: dict[str, Any], code: str
) -> None:
    """The partner reads what to correct; nothing of the file stays."""
    assert error_of(insert_files(engine, {"a.csv": data}, **section), code)
    assert stored(engine) == []
