"""Several workers on one PostgreSQL shard: locks, waiters, deadlocks and serialization failures."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from shards.engines import Shard
from shards.failures import Kind, classify
from shards.inbox import Outcome
from tests.support.concurrency_protocol import ConcurrencyProtocol
from tests.support.parts import (
    identity,
    insert_order,
    order_numbers,
    order_work,
    shard_at,
    store_on,
)
from tests.support.work_failures import failure_of_work
from tests.support.writes import execute, never


class TestOnPostgreSQL(ConcurrencyProtocol):
    @pytest.fixture(autouse=True)
    def change_default(self, shard: Shard) -> Iterator[None]:
        """The database's own isolation is another one."""
        change = f"ALTER DATABASE {shard.engine.url.database} {{}} default_transaction_isolation {{}}"
        execute(shard, change.format("SET", "= 'serializable'"))
        shard.close()
        yield
        execute(shard, change.format("RESET", ""))


def test_a_lock_that_is_not_granted_is_busy(url: str, shard: Shard) -> None:
    """Somebody else has the row in hand: nothing is counted."""
    impatient = shard_at(url, lock_timeout=0.05)
    with shard.connect() as connection, connection.begin():
        connection.execute(text("LOCK TABLE orders"))
        failure = failure_of_work(impatient, lambda connection: insert_order(connection, 1))
    impatient.close()

    assert (failure.kind, failure.code) == (Kind.BUSY, "busy")


def test_a_part_in_another_worker_s_hands_is_busy(url: str, shard: Shard) -> None:
    """The claim waits for the lock time-out and no longer; then the other's outcome is found."""
    impatient = shard_at(url, lock_timeout=0.05)

    def work(connection: Connection) -> bytes:
        insert_order(connection, 1)
        with pytest.raises(Exception, match="lock timeout") as error:
            store_on(impatient).run(identity(), never)
        assert classify(error.value, "postgresql").kind is Kind.BUSY
        return b"{}"

    outcome = store_on(shard).run(identity(), work)

    assert store_on(impatient).run(identity(), never) == outcome
    impatient.close()


def test_an_open_part_in_another_worker_s_hands_is_busy(url: str, shard: Shard) -> None:
    """The row is there already and locked: the same answer by the other way."""
    impatient = shard_at(url, lock_timeout=0.05)
    store_on(shard).count_attempt(identity(), 5, lambda _: b"")

    def work(_: Connection) -> bytes:
        with pytest.raises(Exception, match="lock timeout") as error:
            store_on(impatient).run(identity(), never)
        assert classify(error.value, "postgresql").kind is Kind.BUSY
        return b"{}"

    assert store_on(shard).run(identity(), work).state == "succeeded"
    impatient.close()


def test_a_waiter_runs_the_part_when_the_first_one_rolls_back(shard: Shard) -> None:
    """The claim is free again at once."""
    claimed = threading.Event()

    def failing(connection: Connection) -> bytes:
        insert_order(connection, 1)
        claimed.set()
        wait_until_someone_waits(connection)
        raise RuntimeError

    with ThreadPoolExecutor(2) as workers:
        first = workers.submit(store_on(shard).run, identity(), failing)
        claimed.wait()
        second = workers.submit(store_on(shard).run, identity(), order_work(2))

        assert isinstance(first.exception(), RuntimeError)
        assert second.result().state == "succeeded"
    assert order_numbers(shard) == [2]


def test_a_waiter_for_an_open_part_finds_the_outcome_of_the_first_one(url: str, shard: Shard) -> None:
    """It reads the row only when nobody has it in hand, also if that one came between its two statements."""
    store_on(shard).count_attempt(identity(), 5, lambda _: b"")
    claimed = threading.Event()
    waiting = shard_at(url)

    def work(connection: Connection) -> bytes:
        insert_order(connection, 1)
        claimed.set()
        wait_until_someone_waits(connection)
        return b"the first one's"

    with ThreadPoolExecutor(1) as workers:
        firsts: list[Future[Outcome]] = []

        @event.listens_for(waiting.engine, "before_cursor_execute")
        def come_between(_connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
            if sql.startswith("SELECT"):
                firsts.append(workers.submit(store_on(shard).run, identity(), work))
                claimed.wait()

        assert store_on(waiting).run(identity(), never) == firsts[0].result()
    waiting.close()


def test_a_serialization_failure_is_retried(shard: Shard) -> None:
    """By its code, whoever raises it."""
    runs: list[int] = []

    def work(connection: Connection) -> bytes:
        runs.append(1)
        if len(runs) == 1:
            connection.execute(text("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$"))
        insert_order(connection, 1)
        return b"{}"

    assert store_on(shard).run(identity(), work).state == "succeeded"
    assert (len(runs), order_numbers(shard)) == (2, [1])


def wait_until_someone_waits(connection: Connection) -> None:
    """Return once another connection waits for a lock."""
    waiting: Any = 0
    while not waiting:
        waiting = connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))
