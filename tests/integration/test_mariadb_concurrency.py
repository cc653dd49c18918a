"""Several workers on one MariaDB shard: locks, waiters, and the deadlocks that are normal there."""

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, event

from shards import ready
from shards.engines import Shard
from shards.failures import Kind, classify
from shards.inbox import Outcome
from tests.support.concurrency_protocol import ConcurrencyProtocol, touch
from tests.support.mariadb import MariaDBServer
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

WAITERS = 3


@pytest.fixture(name="impatient")
def make_impatient(mariadb_url: str) -> Iterator[Shard]:
    """The same database, with the shortest lock time-out that there is: a second."""
    shard = shard_at(mariadb_url, lock_timeout=0.05)
    yield shard
    shard.close()


class TestOnMariaDB(ConcurrencyProtocol):
    @pytest.fixture(name="shard")
    def take_shard(self, either_shard: Shard) -> Shard:
        """Through either driver."""
        return either_shard


def test_a_lock_that_is_not_granted_is_busy(mariadb_shard: Shard, impatient: Shard) -> None:
    """Somebody else has the row in hand: nothing is counted."""
    execute(mariadb_shard, "INSERT INTO orders (order_no) VALUES (1)")
    with mariadb_shard.connect() as connection, connection.begin():
        touch(connection, 1)
        failure = failure_of_work(impatient, lambda connection: touch(connection, 1))

    assert (failure.kind, failure.code) == (Kind.BUSY, "busy")


@pytest.mark.parametrize("is_open", [False, True])
def test_a_part_in_another_worker_s_hands_is_busy(
    mariadb_shard: Shard, impatient: Shard, *, is_open: bool
) -> None:
    """New or there already: the claim waits for the lock time-out, no longer; then the outcome is found."""
    if is_open:
        store_on(mariadb_shard).count_attempt(identity(), 5, lambda _: b"")

    def work(connection: Connection) -> bytes:
        insert_order(connection, 1)
        with pytest.raises(Exception, match="Lock wait timeout") as error:
            store_on(impatient).run(identity(), never)
        assert classify(error.value, "mariadb").kind is Kind.BUSY
        return b"{}"

    outcome = store_on(mariadb_shard).run(identity(), work)

    assert store_on(impatient).run(identity(), never) == outcome


def test_waiters_deadlock_when_the_first_one_rolls_back_and_one_of_them_runs_the_part(
    mariadb_server: MariaDBServer, either_shard: Shard
) -> None:
    """Each of them is given a shared lock on the free place and wants it for itself: normal, and retried."""
    claimed = threading.Event()
    bodies = itertools.count()
    deadlocks: list[object] = []

    @event.listens_for(either_shard.engine, "handle_error")
    def note(context: Any) -> None:
        if context.original_exception.args[0] == 1213:
            deadlocks.append(context)

    def failing(connection: Connection) -> bytes:
        insert_order(connection, 1)
        claimed.set()
        wait_for_waiters(mariadb_server, WAITERS)
        raise RuntimeError

    with ThreadPoolExecutor(WAITERS + 1) as workers:
        first = workers.submit(store_on(either_shard).run, identity(), failing)
        claimed.wait()
        work = [order_work(2, b"%d" % next(bodies)) for _ in range(WAITERS)]
        others = [workers.submit(store_on(either_shard).run, identity(), each) for each in work]

        assert isinstance(first.exception(), RuntimeError)
        assert len({other.result() for other in others}) == 1
    assert order_numbers(either_shard) == [2]
    assert deadlocks


def test_a_waiter_for_an_open_part_finds_the_outcome_of_the_first_one(
    mariadb_server: MariaDBServer, mariadb_shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the row only when nobody has it in hand, also if that one came just before its claim."""
    store_on(mariadb_shard).count_attempt(identity(), 5, lambda _: b"")
    claimed = threading.Event()
    firsts: list[Future[Outcome]] = []
    is_first_claim = iter([True])

    def work(connection: Connection) -> bytes:
        insert_order(connection, 1)
        claimed.set()
        wait_for_waiters(mariadb_server, 1)
        return b"the first one's"

    with ThreadPoolExecutor(1) as workers:

        def come_between(cursor: Any, sql: str, parameters: Any) -> None:
            if next(is_first_claim, False):
                firsts.append(workers.submit(store_on(mariadb_shard).run, identity(), work))
                claimed.wait()
            cursor.execute(sql, parameters)

        monkeypatch.setattr(ready, "send_alone", come_between)
        assert store_on(mariadb_shard).run(identity(), never) == firsts[0].result()


def wait_for_waiters(server: MariaDBServer, count: int) -> None:
    """Return once so many transactions wait for a lock."""
    shard = shard_at(server.url("information_schema"))
    waiting: Any = 0
    with shard.connect() as connection:
        while waiting < count:
            status = connection.exec_driver_sql("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")
            waiting = int(status.one()[1])
    shard.close()
