"""The inspection of an SQLite shard: its tables, and whether it can be written to."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from shards.engines import Shard
from shards.inspection import inspect_place, inspect_session
from tests.support.inspection_protocol import InspectionProtocol
from tests.support.parts import sqlite_shard


@pytest.fixture(name="shard")
def shard_with_inbox(tmp_path: Path) -> Iterator[Shard]:
    shard = sqlite_shard(tmp_path)
    yield shard
    shard.close()


class TestInspectionOfSQLite(InspectionProtocol):
    """A file: no rights but the file's, no sessions."""


def test_a_file_has_no_server_to_be_doubtful(shard: Shard) -> None:
    """Neither clock nor limits of its own."""
    assert inspect_session(shard, lambda: 0.0, 10_000) == []


def test_a_file_that_cannot_be_written_to_is_wrong(shard: Shard) -> None:
    """Found by writing, as a worker would; a trigger stands for a disk that is full or mounted to be read."""
    path = shard.engine.url.database
    assert path is not None
    database = sqlite3.connect(path)
    database.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON shardworker_inbox BEGIN SELECT RAISE(FAIL, 'no'); END"
    )
    database.close()
    (remark,) = inspect_place(shard, None, with_placements=False)

    assert remark.is_wrong
    assert remark.text.startswith("It refuses INSERT on shardworker_inbox: ")
