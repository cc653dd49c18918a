"""The built-in handler leaving bad rows out: what is loaded, what is told, and the files for the partner."""

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from config.result import DETAILS_MAXIMUM
from config.settings import InsertHandler
from handlers import rejected_rows
from handlers.registry import insert_spec
from handlers.testing import run_handler
from tests.support.items import SECRET, error_of, insert, items_engine, stored
from tests.support.skipping import faults, rejected, skip

MIXED = (
    b"item_no,name,price\r\n"
    b"1,Chair,19.90\r\n"
    b'2,"Ta\r\nb, ""r""",=1+1\r\n'
    b"3\r\n"
    b"1,Chair,5\r\n"
    b"\r\n"
    b"4,Lamp,1\r\n"
    b"x,Far too long a name,1\r\n"
)
NOTHING_READABLE = {
    "quote_not_closed": b'item_no,name\n1,a\nx,b\n2,"c\n',
    "wrong_encoding": b"item_no,name\n1,a\nx,b\n2,\xff\n",
    "unknown_columns": b"item_no,name,colour\n1,a,red\n",
    "missing_columns": b"item_no\n1\n",
    "empty_file": b"",
    "no_rows": b"item_no,name\n",
    "not_gzip": gzip.compress(b"item_no,name\n1,a\nx,b\n" * 999)[:-9],
}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = items_engine(tmp_path)
    yield engine
    engine.dispose()


def test_good_rows_are_loaded_and_the_others_told_and_put_beside(engine: Engine) -> None:
    """Rows that do not fit, and rows that the database refuses, are left out alike, in the file's order."""
    run = skip(engine, {"a.csv": MIXED})

    assert stored(engine) == [(1,), (4,)]
    details = [
        {"row": 3, "column": "price", "rule": "expected decimal"},
        {"row": 4, "rule": "expected 3 columns, found 1"},
        {"row": 5, "column": "item_no", "rule": "unique"},
        {"row": 8, "column": "item_no", "rule": "expected int"},
        {"row": 8, "column": "name", "rule": "expected str of length <= 10"},
    ]
    (told,) = run.result.pop("rejected")
    assert run.result == {"inserted": 2, "skipped": 4}
    assert (told["attachment"], told["skipped"], told["details"]) == ("a.csv", 4, details)
    assert rejected(run) == (
        b'item_no,name,price\r\n2,"Ta\r\nb, ""r""",=1+1\r\n3\r\n1,Chair,5\r\nx,Far too long a name,1\r\n'
    )
    assert faults(run) == [
        ["3", "2", "price", "expected decimal"],
        ["4", "3", "", "expected 3 columns, found 1"],
        ["5", "4", "item_no", "unique"],
        ["8", "5", "item_no", "expected int"],
        ["8", "5", "name", "expected str of length <= 10"],
    ]


def test_the_result_says_where_the_files_are_and_what_they_are(engine: Engine) -> None:
    """As a job would name them as its attachments."""
    run = skip(engine, {"a.csv": MIXED})

    (told,) = run.result["rejected"]
    for name in ("rows", "faults"):
        data = run.files[told[name]["key"]]
        assert told[name]["size"] == len(data)
        assert told[name]["sha256"] == hashlib.sha256(data).hexdigest()


def test_a_file_without_bad_rows_has_no_file_beside_it(engine: Engine) -> None:
    """The count says so."""
    run = skip(engine, {"a.csv": b"item_no,name\n1,a\n"})

    assert run.result == {"inserted": 1, "skipped": 0}
    assert run.files == {}


def test_a_file_of_several_blocks_is_one_file(engine: Engine) -> None:
    """Where the blocks are cut, nobody sees."""
    price = "0" * 70 + "1.5"
    bad = set(range(0, 12_000, 1999))
    lines = [f"{'x' if n in bad else n},a,{price}\r\n" for n in range(12_000)]

    run = skip(engine, {"a.csv": ("item_no,name,price\r\n" + "".join(lines)).encode()})

    assert (run.result["inserted"], run.result["skipped"]) == (12_000 - len(bad), len(bad))
    assert rejected(run) == b"item_no,name,price\r\n" + f"x,a,{price}\r\n".encode() * len(bad)
    assert run.logged == [("info", "rows.left_out", {"count": len(bad)})]
    assert [int(line[0]) for line in faults(run)] == [n + 2 for n in sorted(bad)]


def test_the_corrected_file_can_be_sent_as_it_is(engine: Engine) -> None:
    """It has the header, the separator and the encoding of the first one."""
    section: dict[str, Any] = {"encoding": "utf-16", "separator": ";"}
    first = skip(engine, {"a.csv": "item_no;name\n1;Stühle\nx;Tür;\n2;Stühle\n".encode("utf-16")}, **section)
    again = rejected(first).decode("utf-16")
    assert again == "item_no;name\r\nx;Tür;\r\n"

    data = gzip.compress(again.replace("x;Tür;", "3;Tür").encode("utf-16"))
    assert skip(engine, {"b.csv.gz": data}, **section).result == {"inserted": 1, "skipped": 0}
    assert stored(engine, "name") == [("Stühle",), ("Stühle",), ("Tür",)]


@pytest.mark.parametrize("packed", [False, True])
def test_a_spreadsheet_s_mark_is_kept(engine: Engine, packed: bool) -> None:  # noqa: FBT001 - a parameter
    """Without it, a spreadsheet would show letters of another encoding."""
    data = "\ufeffitem_no,name\r\n1,a\r\nx,ü\r\n".encode()

    run = skip(engine, {"a.csv": gzip.compress(data) if packed else data})

    assert rejected(run) == "\ufeffitem_no,name\r\nx,ü\r\n".encode()


def test_lines_of_json_are_kept_as_they_came(engine: Engine) -> None:
    """Whatever they are: JSON, or nearly."""
    lines = b'{"item_no":1,"name":"a"}\n\n {"item_no":"%s", "name":1}\n{{\n[1]\n{"item_no":1,"name":"b"}\n'
    run = skip(engine, {"a.jsonl": lines % SECRET.encode()})

    assert run.result["inserted"] == 1
    assert rejected(run, "a.jsonl") == lines.partition(b"\n\n ")[2] % SECRET.encode()
    assert [line[:2] for line in faults(run, "a.jsonl")] == [
        ["3", "1"],
        ["3", "1"],
        ["4", "2"],
        ["5", "3"],
        ["6", "4"],
    ]
    assert SECRET not in str(run.result)


def test_each_attachment_has_files_of_its_own(engine: Engine) -> None:
    """Row numbers too; one without bad rows is not named."""
    files = {"a.csv": b"item_no,name\n1,a\nx,b\n", "b.csv": b"item_no,name\n2,a\n", "c.csv": MIXED}

    run = skip(engine, files)

    assert (run.result["inserted"], run.result["skipped"]) == (3, 6)
    assert [(told["attachment"], told["skipped"]) for told in run.result["rejected"]] == [
        ("a.csv", 1),
        ("c.csv", 5),
    ]
    assert len(run.files) == 4


@pytest.mark.parametrize("code", NOTHING_READABLE)
def test_a_file_that_cannot_be_read_fails_the_part_whole(engine: Engine, code: str) -> None:
    """Bad rows are left out, never half a file."""
    run = skip(engine, {"a.csv": NOTHING_READABLE[code]})

    assert error_of(run, code)
    assert stored(engine) == []
    assert run.files == {}


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"item_no,name\nx,a\ny,b\n", "invalid_rows"), (b"item_no,name\n1\n2\n", "column_count")],
)
def test_without_a_good_row_the_part_fails_with_the_first_fault(
    engine: Engine, data: bytes, code: str
) -> None:
    """A wrong file is not loaded with nothing."""
    assert [detail.row for detail in error_of(skip(engine, {"a.csv": data}), code)] == [2, 3]


def test_without_a_row_that_the_database_takes_the_part_fails_too(engine: Engine) -> None:
    """Its code is the database's."""
    skip(engine, {"a.csv": b"item_no,name\n1,a\n"})

    assert error_of(skip(engine, {"a.csv": b"item_no,name\n1,a\n1,b\n"}), "unique_violation")


def test_more_bad_rows_than_may_be_fail_the_part(engine: Engine) -> None:
    """It may be another file than was meant."""
    bad = b"".join(b"x,%d\n" % number for number in range(200))
    data = b"item_no,name\n1,a\n" + bad

    assert skip(engine, {"a.csv": data}, bad_rows_maximum=200).error is None
    run = skip(engine, {"a.csv": b"item_no,name\n2,a\n" + bad}, bad_rows_maximum=199)

    assert len(error_of(run, "too_many_bad_rows")) == DETAILS_MAXIMUM
    assert stored(engine) == [(1,)]


def test_bad_rows_that_are_too_long_together_fail_the_part(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their file is stored while the transaction is open."""
    monkeypatch.setattr(rejected_rows, "REJECTED_BYTES_MAXIMUM", 1000)

    assert skip(engine, {"a.csv": b"item_no,name\n1,a\nx," + b"y" * 700 + b"\n"}).error is None
    run = skip(engine, {"a.csv": b"item_no,name\n2,a\nx," + b"y" * 1000 + b"\n"})

    assert error_of(run, "too_many_bad_rows")
    assert stored(engine) == [(1,)]


def test_a_dry_run_tells_and_stores_nothing(engine: Engine) -> None:
    """What would be left out is known before."""
    run = skip(engine, {"a.csv": MIXED}, dry_run=True)

    (told,) = run.result["rejected"]
    assert (run.result["inserted"], told["rows"], told["faults"]) == (2, None, None)
    assert run.files == {}
    assert stored(engine) == []


def test_rows_that_were_judged_by_an_older_table_are_judged_again(engine: Engine) -> None:
    """The columns are read once for many parts; a row that fits the table as it is now is not left out."""
    spec = insert_spec(InsertHandler(type="t", table="items", on_bad_row="skip"))
    rows = [{"item_no": 1, "name": "a"}, {"item_no": 2, "name": "a", "colour": "red"}]
    assert run_handler(spec, {"rows": rows}, engine).result["skipped"] == 1
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE items ADD COLUMN colour VARCHAR(5)"))

    assert error_of(run_handler(spec, {"rows": rows}, engine), "transaction_conflict") == ()
    assert run_handler(spec, {"rows": rows}, engine).result == {"inserted": 2, "skipped": 0}


class TestPayload:
    def test_bad_rows_are_left_out_and_named(self, engine: Engine) -> None:
        """There is no file to put anything beside; the result names each of them."""
        rows: list[Any] = [
            {"item_no": 1, "name": "a"},
            {"item_no": 1, "name": "b"},
            7,
            {"item_no": 2, "name": "c"},
        ]

        run = insert(engine, rows, on_bad_row="skip")

        assert run.result == {
            "inserted": 2,
            "skipped": 2,
            "details": [
                {"row": 2, "column": "item_no", "rule": "unique"},
                {"row": 3, "rule": "expected an object"},
            ],
        }

    def test_more_faults_than_can_be_named_fail_the_part(self, engine: Engine) -> None:
        """Else nobody could tell which rows are missing."""
        rows = [{"item_no": 1, "name": "a"}, *([7] * DETAILS_MAXIMUM)]

        assert insert(engine, rows, on_bad_row="skip").result["skipped"] == DETAILS_MAXIMUM
        assert error_of(
            insert(engine, [{"item_no": 2, "name": "a"}, *rows, 7], on_bad_row="skip"), "too_many_bad_rows"
        )

    def test_without_a_good_row_the_part_fails(self, engine: Engine) -> None:
        """No rows at all are no bad rows."""
        assert error_of(insert(engine, [7], on_bad_row="skip"), "invalid_rows")
        assert insert(engine, [], on_bad_row="skip").result == {"inserted": 0, "skipped": 0}
