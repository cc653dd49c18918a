"""Blocks of several lengths, on SQLite: the same is told of a file as by blocks of one."""

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import InsertHandler
from handlers.registry import insert_spec
from handlers.testing import run_handler
from shards.engines import Shard
from tests.support.bulk_ways import create_table, only_way, outcome
from tests.support.parts import sqlite_shard

WAYS = pytest.mark.parametrize("way", ["arrays", "texts"])
FORMS = pytest.mark.parametrize("form", ["csv", "jsonl"])
ROW_COUNT = 30
LETTERS = "abcdefghijklmnop"


@pytest.fixture(scope="module", name="kinds")
def make_kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shard]:
    directory: Path = tmp_path_factory.mktemp("long")
    shard = sqlite_shard(directory)
    with shard.connect() as connection, connection.begin():
        create_table(connection)
    yield shard
    shard.close()


def content(form: str, *, twice: int | None = None, invalid: frozenset[int] = frozenset()) -> bytes:
    """Rows of some 90 KB: the number `twice` comes again two rows later; invalid are labels too long."""
    chance = random.Random(1)  # noqa: S311 - no secret, and what gzip cannot pack away
    rows = []
    for row in range(ROW_COUNT):
        number = row - 2 if twice is not None and row == twice + 2 else row
        label = "toolong" if row in invalid else "a"
        note = "".join(chance.choices(LETTERS, k=90_000))
        rows.append({"number": number, "label": label, "note": note})
    if form == "jsonl":
        return "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    return ("number,label,note\n" + "".join(f"{','.join(map(str, row.values()))}\n" for row in rows)).encode()


@WAYS
@FORMS
@pytest.mark.parametrize("invalid", [11, 15, 20])
def test_a_row_that_is_refused_is_told_before_one_that_is_invalid_further_on(
    kinds: Shard, way: str, form: str, invalid: int
) -> None:
    """Or both ways do not come to it, for they judge the same rows together."""
    data = content(form, twice=1, invalid=frozenset({invalid}))

    assert outcome(kinds, way, f"a.{form}", data) == outcome(kinds, "rows", f"a.{form}", data)


@WAYS
@FORMS
@pytest.mark.parametrize("kept", [0.5, 0.9])
@pytest.mark.parametrize(("twice", "invalid"), [(None, None), (1, None), (None, 3)])
def test_a_file_that_breaks_off_is_told_with_the_same_row(
    kinds: Shard, way: str, form: str, kept: float, twice: int | None, invalid: int | None
) -> None:
    """And what was read before it is judged."""
    packed = gzip.compress(content(form, twice=twice, invalid=frozenset(filter(None, [invalid]))))
    cut = packed[: int(len(packed) * kept)]

    assert outcome(kinds, way, f"a.{form}.gz", cut) == outcome(kinds, "rows", f"a.{form}.gz", cut)


@WAYS
@FORMS
def test_too_many_bad_rows_are_the_same_ones(kinds: Shard, way: str, form: str) -> None:
    """Those that the database refuses are among them."""
    section = InsertHandler(
        type="t", table="kinds", source="attachments", on_bad_row="skip", bad_rows_maximum=1
    )
    data = content(form, twice=1, invalid=frozenset({14, 15}))
    told = []
    for each in (way, "rows"):
        with kinds.connect() as connection, only_way(each):
            told.append(
                run_handler(insert_spec(section), None, connection, attachments={f"a.{form}": data}).error
            )

    assert told[0] is not None
    assert told[0] == told[1]
