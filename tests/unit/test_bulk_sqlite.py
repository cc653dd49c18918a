"""Bulk loading on SQLite: whichever way a file goes, the same rows stand there and the same is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from shards.engines import Shard
from tests.support.bulk_ways import create_table, csv_files, json_files, outcome
from tests.support.parts import sqlite_shard

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


@UNHURRIED
@given(data=csv_files("sqlite"))
def test_every_way_makes_the_same_of_a_csv_file(kinds: Shard, data: bytes) -> None:
    """Columns of texts give the rows and the faults that single rows give."""
    assert outcome(kinds, "texts", "a.csv", data) == outcome(kinds, "rows", "a.csv", data)


@UNHURRIED
@given(data=json_files("sqlite"))
def test_every_way_makes_the_same_of_a_json_lines_file(kinds: Shard, data: bytes) -> None:
    """The same of JSON Lines."""
    assert outcome(kinds, "texts", "a.jsonl", data) == outcome(kinds, "rows", "a.jsonl", data)
