"""Servers that accept and say nothing: no thread waits for them longer than the settings allow.

Time-outs are short for the silent answer alone, so that nothing else trips over a machine that stalls.
"""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from config import settings
from shards import engine_events, engine_options
from shards.bulk import insert_rows
from shards.connection_drivers import PatientPostgreSQL
from shards.engines import Shard
from shards.failures import Kind, classify
from tests.support.mariadb import MariaDBServer
from tests.support.parts import ORDERS, identity, insert_order, order_numbers, order_work, shard_at, store_on
from tests.support.private_server import PASSWORD
from tests.support.work_failures import failure_of_work
from tests.support.world import wait_until
from tests.support.writes import execute


@pytest.fixture(name="silence")
def listen_in_silence() -> Iterator[int]:
    """The port of a server that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "mariadb+pymysql", "mariadb+mysqldb"])
def test_a_server_that_says_nothing_is_away_after_the_connect_time_out(silence: int, driver: str) -> None:
    """The whole handshake counts, though statements may take longer."""
    url = f"{driver}://worker:{PASSWORD}@127.0.0.1:{silence}/shard?connect_timeout=2"
    shard = shard_at(url, statement_timeout=100)
    began = time.monotonic()
    with pytest.raises(Exception) as error:  # noqa: PT011  its kind is what counts
        store_on(shard).run(identity(), order_work())

    assert classify(error.value, shard.dialect).kind is Kind.AWAY
    assert time.monotonic() - began < 60


def test_a_postgresql_that_hangs_in_a_statement_is_away(url: str) -> None:
    """Its host still acknowledges what is sent: only the worker's own clock tells."""
    shard = shard_at(url)

    def work(connection: Connection) -> None:
        insert_order(connection, 1)
        stop_for_good(backend_of(connection))
        lose_patience(connection)
        connection.execute(text("SELECT 1"))

    with killing_stopped_backends():
        assert failure_of_work(shard, work).kind is Kind.AWAY
    assert store_on(shard).run(identity(), order_work(1)).state == "succeeded"
    shard.close()


def test_a_postgresql_that_hangs_in_commit_is_away_and_the_inbox_tells_what_became_of_it(url: str) -> None:
    """The thread is free again; the next claim finds nothing and the part is run."""
    shard = shard_at(url)

    def work(connection: Connection) -> None:
        insert_order(connection, 1)
        stop_for_good(backend_of(connection))
        lose_patience(connection)

    with killing_stopped_backends():
        assert failure_of_work(shard, work).kind is Kind.AWAY
    assert store_on(shard).run(identity(), order_work(1)).state == "succeeded"
    assert order_numbers(shard) == [1]
    shard.close()


def test_a_postgresql_that_is_slow_with_many_rows_is_not_away(url: str) -> None:
    """Each row within its time-out, all together not: that is counted; an absence would go on for ever."""
    shard = shard_at(url)
    execute(
        shard,
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_sleep(1); RETURN NEW; END';"
        " CREATE TRIGGER dawdling BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION dawdle()",
    )

    def work(connection: Connection) -> bytes:
        lose_patience(connection, cancel_seconds=60)
        insert_rows(connection, ORDERS, [{"order_no": number} for number in range(60)])
        return b"{}"

    failure = failure_of_work(shard, work)
    assert (failure.kind, failure.code) == (Kind.TRANSIENT, "statement_timeout")
    execute(shard, "DROP TRIGGER dawdling ON orders")
    shard.close()


def test_a_postgresql_that_cannot_even_cancel_is_away(url: str) -> None:
    """It was asked to, and said nothing."""
    shard = shard_at(url)

    def work(connection: Connection) -> None:
        stop_for_good(backend_of(connection))
        lose_patience(connection)
        connection.execute(text("SELECT 1"))

    with killing_stopped_backends():
        assert failure_of_work(shard, work).kind is Kind.AWAY
    shard.close()


@pytest.mark.parametrize("driver", ["pymysql", "mysqldb"])
def test_a_mariadb_that_hangs_in_a_statement_is_away(
    mariadb_server: MariaDBServer, mariadb_url: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver's read time-out ends it."""
    monkeypatch.setattr(engine_options, "SOCKET_GRACE_SECONDS", 0)
    shard = shard_at(mariadb_url.replace("pymysql", driver), statement_timeout=1)
    warm_up(shard)
    with paused(mariadb_server):
        assert failure_of_work(shard, lambda connection: insert_order(connection, 1)).kind is Kind.AWAY
    shard.close()
    patient = shard_at(mariadb_url)
    assert store_on(patient).run(identity(), order_work(1)).state == "succeeded"
    patient.close()


@pytest.mark.usefixtures("mariadb_url")
def test_a_statement_may_take_longer_than_connecting(mariadb_server: MariaDBServer) -> None:
    """PyMySQL has one read time-out: the handshake's short one ends with the handshake."""
    shard = shard_at(mariadb_server.url("shard", connect_seconds=1))
    warm_up(shard)
    with shard.connect() as connection:
        assert connection.execute(text("SELECT SLEEP(1.2)")).scalar_one() == 0
    shard.close()


def test_a_ping_waits_no_longer_than_a_connect(
    mariadb_server: MariaDBServer, mariadb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that hangs is found out at the checkout, whatever its statements may take."""
    monkeypatch.setattr(engine_events, "PING_AFTER_SECONDS", -1)
    url = mariadb_url.partition("?")[0]
    second, minute = timedelta(seconds=1), timedelta(minutes=1)
    shard = Shard("one", settings.Shard(url=url, connect_timeout=second, statement_timeout=2 * minute))
    warm_up(shard)
    began = time.monotonic()
    with paused(mariadb_server):
        assert failure_of_work(shard, lambda connection: insert_order(connection, 1)).kind is Kind.AWAY
    assert time.monotonic() - began < 60
    shard.close()


def warm_up(shard: Shard) -> None:
    """Leave a connection in the pool, however often the machine stalls for the shard's short time-outs."""
    wait_until(lambda: has_run(shard), "a first part")


def has_run(shard: Shard) -> bool:
    try:
        return store_on(shard).run(identity("warm-up"), order_work(100)).state == "succeeded"
    except DBAPIError:
        return False


def lose_patience(connection: Connection, cancel_seconds: float = 1) -> None:
    """From here on the connection waits for a second at most, and for that long until it has cancelled."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, PatientPostgreSQL)
    driver.patience_seconds, driver.cancel_seconds = 1, cancel_seconds


def backend_of(connection: Connection) -> int:
    pid: int = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    return pid


STOPPED: list[int] = []


def stop_for_good(pid: int) -> None:
    STOPPED.append(pid)
    os.kill(pid, signal.SIGSTOP)
    wait_until_stopped(pid)


def wait_until_stopped(pid: int) -> None:
    """A signal is sent in no time; its threads go on until each of them is reached."""
    while any(state_of(task) != "T" for task in Path(f"/proc/{pid}/task").iterdir()):
        time.sleep(0.001)


def state_of(task: Path) -> str:
    return (task / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


@contextmanager
def killing_stopped_backends() -> Iterator[None]:
    """Let those that were stopped go on at the end: each finds its client gone."""
    try:
        yield
    finally:
        while STOPPED:
            os.kill(STOPPED.pop(), signal.SIGCONT)


@contextmanager
def paused(server: MariaDBServer) -> Iterator[None]:
    """The server accepts connections, by its host's kernel, and does nothing."""
    process = server._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    wait_until_stopped(process.pid)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)
