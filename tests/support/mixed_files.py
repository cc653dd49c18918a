"""Files of good and bad rows in any mix, and what has to become of each row, whatever the way."""

import csv
import io
import json
from typing import Any, NamedTuple

from hypothesis import strategies as st
from sqlalchemy import text

from shards.engines import Shard
from tests.support.bulk_ways import only_way
from tests.support.skipping import faults, rejected, skip

CREATE = (
    "CREATE TABLE mixed (line_no INTEGER NOT NULL UNIQUE, name VARCHAR(9) NOT NULL, price DECIMAL(8,2),"
    " CONSTRAINT not_negative CHECK (price >= 0))"
)
KINDS = ("good", "good", "good", "twice", "no number", "long", "negative", "NULL")
COLUMNS = ["line_no", "name", "price"]


class Mixed(NamedTuple):
    """What became of a file, or has to: the table's rows, the numbers of the others and the file of them."""

    stored: list[tuple[int, str]]
    bad: list[int]
    rejected: list[Any]
    counts: dict[str, int]


@st.composite
def mixed_rows(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """Kinds and rows; at least one row is good."""
    kinds = ["good", *draw(st.lists(st.sampled_from(KINDS), max_size=70))]
    return [(kind, _row(kind, number, draw(st.integers(0, number)))) for number, kind in enumerate(kinds)]


def expected(rows: list[tuple[str, Any]], form: str, conflict: str, dialect: str) -> Mixed:
    """What has to become of the rows."""
    stored: dict[int, str] = {}
    bad: list[int] = []
    kept = 0
    first = 2 if form == "csv" else 1
    for number, (kind, row) in enumerate(rows, start=first):
        is_there = row["line_no"] in stored
        if kind not in {"good", "twice"} or (is_there and conflict == "error"):
            bad.append(number)
            continue
        kept += 1
        stored.setdefault(row["line_no"], row["name"])
    lines = [_cells(rows[number - first][1]) if form == "csv" else rows[number - first][1] for number in bad]
    counts = {"inserted": kept, "skipped": len(bad)}
    if conflict == "ignore" and dialect != "mariadb":
        counts |= {"inserted": len(stored), "ignored": kept - len(stored)}
    return Mixed(sorted(stored.items()), bad, lines, counts)


def outcome(shard: Shard, way: str, rows: list[tuple[str, Any]], form: str, **section: Any) -> Mixed:
    """What becomes of them; nothing of it stays."""
    name = f"a.{form}"
    data = _csv(rows) if form == "csv" else b"".join(json.dumps(row).encode() + b"\n" for _, row in rows)
    with shard.connect() as connection, only_way(way):
        run = skip(connection, {name: data}, table="mixed", **section)
    with shard.connect() as connection, connection.begin():
        found = connection.execute(text("SELECT line_no, name FROM mixed ORDER BY line_no"))
        stored = [(row.line_no, row.name) for row in found]
        connection.execute(text("DELETE FROM mixed"))
    assert run.error is None, run.error
    numbers = [int(line[0]) for line in faults(run, name)]
    return Mixed(
        stored,
        sorted(set(numbers)) if numbers == sorted(numbers) else numbers,
        _lines(rejected(run, name), form),
        {name: count for name, count in run.result.items() if name != "rejected"},
    )


def create_mixed(shard: Shard) -> None:
    """Make the table."""
    with shard.connect() as connection, connection.begin():
        connection.execute(text(CREATE))


def _row(kind: str, number: int, other: int) -> dict[str, Any]:
    row: dict[str, Any] = {"line_no": number, "name": f'n,"{number}\n', "price": 1.5}
    changes: dict[str, dict[str, Any]] = {
        "twice": {"line_no": other},
        "no number": {"line_no": "x"},
        "long": {"name": "x" * 10},
        "negative": {"price": -1},
        "NULL": {"line_no": None},
    }
    return {**row, **changes.get(kind, {})}


def _cells(row: dict[str, Any]) -> list[str]:
    return ["" if row[column] is None else str(row[column]) for column in COLUMNS]


def _csv(rows: list[tuple[str, Any]]) -> bytes:
    lines = io.StringIO(newline="")
    csv.writer(lines).writerows([COLUMNS, *(_cells(row) for _, row in rows)])
    return lines.getvalue().encode()


def _lines(data: bytes, form: str) -> list[Any]:
    if form == "csv":
        return list(csv.reader(io.StringIO(data.decode(), newline="")))[1:]
    return [json.loads(line) for line in data.splitlines()]
