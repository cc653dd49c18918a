"""Bulk loading on SQLite: whichever way a file goes, the same rows stand there and the same is told."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from shards.engines import Shard
from tests.support.bulk_ways import create_table, csv_files, json_files, outcome
from tests.support.parts import sqlite_shard
from tests.support.writes import statements_of

UNHURRIED = settings(
    max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module", name="kinds")
def make_kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shard]:
    directory: Path = tmp_path_factory.mktemp("bulk")
    shard = sqlite_shard(directory)
    with shard.connect() as connection, connection.begin():
        create_table(connection)
    yield shard
    shard.close()


@pytest.mark.parametrize("way", ["arrays", "texts"])
@UNHURRIED
@given(data=csv_files("sqlite"))
def test_every_way_makes_the_same_of_a_csv_file(kinds: Shard, way: str, data: bytes) -> None:
    """Whole columns give the rows and the faults that single rows give."""
    assert outcome(kinds, way, "a.csv", data) == outcome(kinds, "rows", "a.csv", data)


@pytest.mark.parametrize("way", ["arrays", "texts"])
@UNHURRIED
@given(data=json_files("sqlite"))
def test_every_way_makes_the_same_of_a_json_lines_file(kinds: Shard, way: str, data: bytes) -> None:
    """The same of JSON Lines."""
    assert outcome(kinds, way, "a.jsonl", data) == outcome(kinds, "rows", "a.jsonl", data)


NAMES = ("number", "label", "price", "ratio", "made_on", "made_at", "clock", "sold")
RIGHT_ROWS = (
    ("a", "1.50", "0.1", "2024-02-29", "2026-11-21T10:00:00", "10:00:00", "true"),
    ("", "-7", "1e3", "0001-01-01", "2026-11-21 10:00:00", "23:59:59.5", "false"),
    ('"', "2", "-2.5", "2026-11-21", "2026-11-21 10:00:00.25", "10:00:00.000001", "true"),
    ("NULL", *[None] * 6),
)


@pytest.mark.parametrize("way", ["arrays", "texts"])
@pytest.mark.parametrize("forms", [RIGHT_ROWS[:1], RIGHT_ROWS[:2], RIGHT_ROWS])
@pytest.mark.parametrize(("row_count", "statement_count"), [(5, 1), (1100, 3)])
def test_right_rows_are_bound_as_they_would_be_one_by_one(
    kinds: Shard, way: str, forms: tuple[tuple[str | None, ...], ...], row_count: int, statement_count: int
) -> None:
    """However many there are, in forms that are all alike or not."""
    rows = [(str(number), *forms[number % len(forms)]) for number in range(row_count)]
    quoted = (
        ",".join("" if cell is None else f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row)
        for row in rows
    )
    lines = (dict(zip(NAMES, row, strict=True)) for row in rows)
    bare: dict[str, Callable[[str], Any]] = {"number": int, "ratio": float, "sold": json.loads}
    told = (
        {name: cell if cell is None else bare.get(name, str)(cell) for name, cell in line.items()}
        for line in lines
    )
    files = {"a.csv": [",".join(NAMES), *quoted], "a.jsonl": [json.dumps(line) for line in told]}
    for name, content in files.items():
        data = "\n".join(content).encode()
        with statements_of(kinds) as statements:
            found = outcome(kinds, way, name, data)
        assert found == outcome(kinds, "rows", name, data)
        assert len(found.rows) == row_count
        assert statements.count("INSERT") == statement_count


@pytest.mark.parametrize("way", ["arrays", "texts"])
@pytest.mark.parametrize(
    "price",
    [
        *(
            "null",
            '"null"',
            "1",
            '"1"',
            "-0",
            "1.5",
            '"01.50"',
            "1e2",
            '"1e2"',
            "1.",
            "01",
            "+1",
            '"+1"',
            '" 1"',
        ),
        *(
            "true",
            '"NaN"',
            '"1\\u0030"',
            '"1_0"',
            '"\u0661"',
            "[1]",
            '["1"]',
            "{}",
            '""',
            "1.55555",
            "1.500",
            "1 ",
        ),
    ],
)
def test_a_number_of_json_is_the_same_to_every_way(kinds: Shard, way: str, price: str) -> None:
    """However it is written, beside one that is right, and where there is none."""
    column = f'"price": {price}'
    lines = ['"price": "2.50"', column, '"label": "no price"', column]
    data = "\n".join(f'{{"number": {number}, {line}}}' for number, line in enumerate(lines)).encode()

    assert outcome(kinds, way, "a.jsonl", data) == outcome(kinds, "rows", "a.jsonl", data)
