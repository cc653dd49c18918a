"""The part's transaction on SQLite."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from shards.engines import Shard
from shards.failures import Kind, KnownFailure, classify
from shards.inbox import BrokenTransaction, Outcome
from tests.support.fault_protocol import FaultProtocol
from tests.support.guard_protocol import GuardProtocol
from tests.support.part_protocol import PartProtocol
from tests.support.parts import (
    PlacedShard,
    identity,
    insert_order,
    order_numbers,
    order_work,
    placed_shard_at,
    sqlite_shard,
    store_on,
)
from tests.support.placement_protocol import PlacementProtocol
from tests.support.writes import execute, never

DOUBLING = (
    "CREATE TEMP TRIGGER doubling AFTER INSERT ON main.orders WHEN NEW.order_no < 1000"
    " BEGIN INSERT INTO orders (order_no) VALUES (NEW.order_no + 1000); END"
)


@pytest.fixture(name="shard")
def make_shard(tmp_path: Path) -> Iterator[Shard]:
    shard = sqlite_shard(tmp_path, lock_timeout=0.05)
    yield shard
    shard.close()


class TestOnSQLite(PartProtocol, GuardProtocol, FaultProtocol):
    """Every database's promises, kept by SQLite."""


class TestOnSQLiteWithPlacementRows(PartProtocol, GuardProtocol, FaultProtocol, PlacementProtocol):
    """The same promises where every claim checks the customer's placement."""

    @pytest.fixture(name="shard")
    def make_placed_shard(self, tmp_path: Path) -> Iterator[PlacedShard]:
        """In place of the module's shard."""
        sqlite_shard(tmp_path).close()
        shard = placed_shard_at(f"sqlite:///{tmp_path / 'shard.db'}", lock_timeout=0.05)
        yield shard
        shard.close()


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

    used: list[object] = []

    def work(connection: Connection) -> bytes:
        used.append(connection.connection.driver_connection)
        connection.execute(text("INSERT INTO lines VALUES (77)"))
        return b"{}"

    def work_without_fault(connection: Connection) -> bytes:
        used.append(connection.connection.driver_connection)
        return order_work()(connection)

    store = store_on(shard)
    with pytest.raises(Exception, match="FOREIGN KEY") as error:
        store.run(identity(), work)

    failure = classify(error.value, "sqlite")
    assert (failure.kind, failure.code) == (Kind.PERMANENT, "foreign_key_violation")
    assert store.run(identity("job-2"), work_without_fault).state == "succeeded"
    assert order_numbers(shard) == [1]
    assert used[0] is not used[1]


@pytest.mark.parametrize(
    "left",
    [
        DOUBLING,
        "PRAGMA ignore_check_constraints = ON",
        "ATTACH ':memory:' AS other",
    ],
)
def test_what_a_handler_set_is_not_the_next_one_s(shard: Shard, left: str) -> None:
    """What SQLite's own session keeps goes with its connection."""
    execute(shard, "CREATE TABLE counts (number INTEGER CHECK (number > 0))")

    def setting(connection: Connection) -> bytes:
        connection.execute(text(left))
        return b"{}"

    def work(connection: Connection) -> bytes:
        insert_order(connection, 5)
        databases = connection.execute(text("PRAGMA database_list")).all()
        assert "other" not in {database.name for database in databases}
        with pytest.raises(DBAPIError, match="CHECK"):
            connection.execute(text("INSERT INTO counts VALUES (-1)"))
        return b"{}"

    store_on(shard).run(identity(), setting)
    store_on(shard).run(identity("job-2"), work)

    assert order_numbers(shard) == [5]


@pytest.mark.parametrize(
    ("after_that", "code"),
    [(suppress(KnownFailure), "broken_transaction"), (nullcontext(), "unique_violation")],
)
def test_nothing_is_written_where_sqlite_has_ended_the_transaction(
    shard: Shard, after_that: AbstractContextManager[None], code: str
) -> None:
    """It does so by itself for some errors; what a handler writes after that would stay without its part."""
    execute(shard, "CREATE TABLE articles (name TEXT UNIQUE ON CONFLICT ROLLBACK)")
    execute(shard, "INSERT INTO articles VALUES ('a')")

    def work(connection: Connection) -> bytes:
        insert_order(connection, 1)
        with pytest.raises(DBAPIError):
            connection.execute(text("INSERT INTO articles VALUES ('a')"))
        with after_that:
            insert_order(connection, 2)
        return b"{}"

    with pytest.raises(KnownFailure) as error:
        store_on(shard).run(identity(), work)

    assert error.value.failure.code == code
    assert order_numbers(shard) == []


def test_a_record_of_a_broken_transaction_is_never_overwritten(shard: Shard) -> None:
    """The handler comes back too late: its part was found broken meanwhile, and that outcome stays."""
    store = store_on(shard)

    def work(connection: Connection) -> bytes:
        connection.exec_driver_sql("COMMIT")
        store.fail_broken(identity(), b"broken")
        connection.exec_driver_sql("BEGIN")
        return b"{}"

    with pytest.raises(BrokenTransaction):
        store.run(identity(), work)

    assert store.run(identity(), never) == Outcome("failed", 1, b"broken", dead_letter=True)
