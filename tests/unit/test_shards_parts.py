"""The part's transaction on SQLite."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from shards.engines import Shard
from shards.failures import Kind, classify
from shards.inbox import Outcome
from tests.support.fault_protocol import FaultProtocol
from tests.support.guard_protocol import GuardProtocol
from tests.support.part_protocol import PartProtocol
from tests.support.parts import identity, insert_order, order_numbers, order_work, sqlite_shard, store_on
from tests.support.writes import execute, never


@pytest.fixture(name="shard")
def make_shard(tmp_path: Path) -> Iterator[Shard]:
    shard = sqlite_shard(tmp_path, lock_timeout=0.05)
    yield shard
    shard.close()


class TestOnSQLite(PartProtocol, GuardProtocol, FaultProtocol):
    """Every database's promises, kept by SQLite."""


def test_a_second_writer_is_busy_after_the_lock_timeout(shard: Shard) -> None:
    """SQLite has one writer: the other one is told, and nothing is counted."""
    store = store_on(shard)

    def work(connection: Connection) -> bytes:
        insert_order(connection, 1)
        with pytest.raises(Exception, match="database is locked") as error:
            store.run(identity("job-2"), never)
        assert classify(error.value, "sqlite").kind is Kind.BUSY
        return b"{}"

    assert store.run(identity(), work).state == "succeeded"


def test_readers_do_not_wait_for_a_writer(shard: Shard) -> None:
    """Committed rows are read while a part is being written."""
    seen: list[list[int]] = []

    def work(connection: Connection) -> bytes:
        insert_order(connection, 1)
        seen.append(order_numbers(shard))
        return b"{}"

    store_on(shard).run(identity(), work)

    assert seen == [[]]


def test_a_deferred_constraint_fails_the_commit_and_the_next_part_goes_on(shard: Shard) -> None:
    """What the COMMIT refuses is a fault of the data; the connection is not used again half-open."""
    reference = "REFERENCES orders (order_no) DEFERRABLE INITIALLY DEFERRED"
    execute(shard, f"CREATE TABLE lines (order_no INTEGER {reference})")

    def work(connection: Connection) -> bytes:
        connection.execute(text("INSERT INTO lines VALUES (77)"))
        return b"{}"

    store = store_on(shard)
    with pytest.raises(Exception, match="FOREIGN KEY") as error:
        store.run(identity(), work)

    failure = classify(error.value, "sqlite")
    assert (failure.kind, failure.code) == (Kind.PERMANENT, "foreign_key_violation")
    assert store.run(identity("job-2"), order_work()) == Outcome("succeeded", 1, b'{"inserted":1}')
    assert order_numbers(shard) == [1]
