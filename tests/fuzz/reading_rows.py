"""The target `rows`: any bytes as CSV or JSON Lines are rows or a rejection, the same in each way."""

import gzip
import io
import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from handlers import Reject, csv_rows, json_rows
from tests.fuzz.mutation import bent_case, bent_text
from tests.fuzz.tape import Tape
from tests.fuzz.target import Case, kept_cases
from tests.support.bulk_ways import CELLS, COLUMNS, create_table, outcome
from tests.support.parts import sqlite_shard
from tests.support.row_files import Line

FOLDER: Final = "rows"
REQUIRED: Final = ("number", "label")
CELLS_OF: Final = {name: CELLS[name] for name in COLUMNS["sqlite"]}
PACKINGS: Final = ["none", "gzip", "gzip cut short", "gzip with a bit turned"]


class ReadingRows:
    """Reads each file to a model, and inserts it by columns of texts and row by row: both tell the same."""

    name = "rows"
    folder = FOLDER

    def __init__(self) -> None:
        self._kept = list(kept_cases(FOLDER).values())
        self._directory = TemporaryDirectory(prefix="shardworker-fuzz-")
        self._shard = sqlite_shard(Path(self._directory.name))
        with self._shard.connect() as connection, connection.begin():
            create_table(connection)

    def make(self, tape: Tape) -> Case:
        """A file of the corpus bent, or one that is nearly right."""
        if not tape.once_in(3):
            return {**bent_case(tape, self._kept), "inserted": tape.once_in(6)}
        form = tape.pick(["csv", "jsonl"])
        text = _csv(tape) if form == "csv" else _json_lines(tape)
        data = bent_text(tape, text) if tape.once_in(3) else text
        return {"form": form, "data": data, "packing": tape.pick(PACKINGS), "inserted": tape.once_in(3)}

    def run(self, case: Case) -> Counter[str]:
        """Read the file, and where the case says so insert it in both ways."""
        data = _packed(_bytes(case["data"]), case["packing"])
        ends = Counter([_read(case["form"], data)])
        if case["inserted"]:
            name = f"a.{case['form']}"
            by_texts, by_rows = (outcome(self._shard, way, name, data) for way in ("texts", "rows"))
            assert by_texts == by_rows
            ends[f"inserted: {by_texts.told[0] if isinstance(by_texts.told, tuple) else 'all'}"] += 1
        return ends

    def close(self) -> None:
        """Remove the database."""
        self._shard.close()
        self._directory.cleanup()


def _csv(tape: Tape) -> str:
    """A header and some lines, of cells that are right, nearly right, or far from it."""
    names = [name for name in CELLS_OF if name in REQUIRED or tape.once_in(2)]
    lines = [names, *([_cell(tape, name) for name in names] for _ in range(tape.number(5)))]
    newline = tape.pick(["\n", "\r\n"])
    return newline.join(",".join(_quoted(cell) for cell in line) for line in lines) + tape.pick([newline, ""])


def _json_lines(tape: Tape) -> str:
    lines = []
    for _ in range(tape.number(5)):
        names = [name for name in CELLS_OF if name in REQUIRED or tape.once_in(3)]
        lines.append(json.dumps({name: tape.pick([_cell(tape, name), tape.json()]) for name in names}))
    return tape.pick(["\n", "\r\n", "\n\n"]).join(lines)


def _cell(tape: Tape, name: str) -> str:
    return tape.pick([tape.pick(CELLS_OF[name]), str(tape.number(7)), tape.text(6)])


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(sign in cell for sign in ',"\r\n') else cell


def _bytes(text: str) -> bytes:
    """Half of a surrogate pair is a byte that is no UTF-8, or else what some would encode it as."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _read(form: str, data: bytes) -> str:
    try:
        rows = list(csv_rows(io.BytesIO(data), Line) if form == "csv" else json_rows(io.BytesIO(data), Line))
    except Reject as rejection:
        json.dumps(msgspec.to_builtins(rejection.details))
        return f"read: {rejection.code}"
    assert all(isinstance(row, Line) for row in rows)
    return "read: all"


def _packed(data: bytes, packing: str) -> bytes:
    if packing not in PACKINGS[1:]:
        return data
    packed = gzip.compress(data, mtime=0)
    if packing == "gzip cut short":
        return packed[: len(packed) * 2 // 3]
    if packing == "gzip with a bit turned":
        middle = len(packed) // 2
        return packed[:middle] + bytes([packed[middle] ^ 16]) + packed[middle + 1 :]
    return packed
