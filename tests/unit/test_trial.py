"""Trials on SQLite."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from config.result import ErrorDetail
from shards.changes import Changes
from shards.engines import Shard
from shards.failures import classify
from shards.guard import PartConnection
from shards.inbox import PlacementStale
from tests.support.parts import PlacedShard, insert_order, order_numbers, placed_shard_at, sqlite_shard
from tests.support.trial_protocol import TrialProtocol, order_tried
from tests.support.trials import trial_on
from tests.support.writes import execute

LINES = (
    "CREATE TABLE order_lines (line_no INTEGER PRIMARY KEY,"
    " order_no INTEGER REFERENCES orders (order_no) {deferred})"
)


@pytest.fixture(name="shard")
def make_shard(tmp_path: Path) -> Iterator[Shard]:
    shard = sqlite_shard(tmp_path, lock_timeout=0.05)
    yield shard
    shard.close()


class TestOnSQLite(TrialProtocol):
    """Every database's promises, kept by SQLite."""


def test_a_customer_that_is_elsewhere_is_not_tried(tmp_path: Path) -> None:
    """The placement row is looked at, without the inbox's claim."""
    sqlite_shard(tmp_path).close()
    shard: PlacedShard = placed_shard_at(f"sqlite:///{tmp_path / 'shard.db'}")

    assert trial_on(shard).run(order_tried) == b"tried"
    execute(shard, "UPDATE shardworker_placement SET epoch = 2")
    with pytest.raises(PlacementStale):
        trial_on(shard).run(order_tried)
    shard.close()


@pytest.mark.parametrize("deferred", ["DEFERRABLE INITIALLY DEFERRED", ""])
@pytest.mark.parametrize("repaired", [False, True])
def test_a_deferred_foreign_key_is_checked_at_the_end(
    shard: Shard, tmp_path: Path, deferred: str, *, repaired: bool
) -> None:
    """As the COMMIT would; what was wrong before is not blamed on the trial."""
    execute(shard, LINES.format(deferred=deferred))
    with closing(sqlite3.connect(tmp_path / "shard.db")) as careless, careless:
        careless.execute("INSERT INTO order_lines VALUES (1, 404)")

    def work(connection: PartConnection, _: Changes) -> bytes:
        if not deferred:
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        connection.execute(text("INSERT INTO order_lines VALUES (2, 7)"))
        if repaired:
            insert_order(connection, 7)
        return b"tried"

    if repaired:
        assert trial_on(shard).run(work) == b"tried"
    else:
        with pytest.raises(Exception, match="refers to another row") as error:
            trial_on(shard).run(work)
        failure = classify(error.value, shard.dialect)
        assert (failure.code, failure.details) == (
            "foreign_key_violation",
            (ErrorDetail(rule="foreign_key"),),
        )
    assert order_numbers(shard) == []
