"""Connections that are kept: within the server's budget, closed when idle, replaced when dead or renewed."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from config import settings
from shards import engine_events
from shards.engines import Shard, Shards
from shards.failures import Kind, KnownFailure, classify
from shards.parts import PartStore
from tests.support.mariadb import MariaDBServer
from tests.support.own_connections import connections_to
from tests.support.parts import identity, insert_order, order_numbers, order_work, store_on
from tests.support.postgresql import PostgreSQLServer
from tests.support.work_failures import failure_of_work, statement

SHARD_COUNT = 50
BUDGET = 6
OWN_NUMBER = {"postgresql": "SELECT pg_backend_pid()", "mariadb": "SELECT CONNECTION_ID()"}
PASSWORDS = ("first-secret", "second-secret")


@pytest.fixture(name="shards")
def make_shards(server: PostgreSQLServer, url: str) -> Iterator[Shards]:
    """Fifty shards of one server; they are names of one database, each with connections of its own."""
    section = settings.Shard(url=url)
    budget = {f"127.0.0.1:{server.port}": settings.Server(connections=BUDGET)}
    shards = Shards({f"shard-{number}": section for number in range(SHARD_COUNT)}, budget)
    yield shards
    shards.close()


def test_fifty_shards_stay_within_their_server_s_budget(server: PostgreSQLServer, shards: Shards) -> None:
    """As the kernel counts them, with as many threads as there are connections, and each part is done."""
    before = connections_to(server.port)
    most: list[int] = []

    def work(connection: Connection) -> bytes:
        most.append(connections_to(server.port) - before)
        return order_work(len(most))(connection)

    def run(number: int) -> None:
        shard = shards.get(f"shard-{number % SHARD_COUNT}")
        store_on(shard).run(identity(f"job-{number}"), work)

    with ThreadPoolExecutor(BUDGET) as threads:
        list(threads.map(run, range(2 * SHARD_COUNT)))

    assert max(most) == BUDGET
    assert list(shards.open_connections().values()) == [connections_to(server.port) - before]


def test_a_connection_of_a_shard_in_use_is_closed_for_one_that_has_none(shards: Shards) -> None:
    """The one that was idle longest, whichever shard it belongs to."""
    one, two = shards.get("shard-0"), shards.get("shard-1")
    with hold(one, 4), hold(two, 2):
        pass
    assert sum(shards.open_connections().values()) == BUDGET
    with hold(one, 1), hold(two, 4):
        assert sum(shards.open_connections().values()) == BUDGET


def test_a_budget_that_others_use_up_is_busy_and_not_away(shards: Shards) -> None:
    """Nothing is wrong with the shard: its breaker must not hear of it."""
    full = hold(shards.get("shard-0"), 4), hold(shards.get("shard-1"), 2)
    with full[0], full[1], pytest.raises(KnownFailure) as error, shards.get("shard-2").connect():
        pass
    assert classify(error.value, "postgresql").kind is Kind.BUSY


def test_connections_that_are_not_used_are_closed(server: PostgreSQLServer, shards: Shards) -> None:
    """And no others: the shard's engine stays, and what it knows of the tables with it."""
    before = connections_to(server.port)
    shard = shards.get("shard-0")
    engine = shard.engine
    with hold(shard, 3):
        pass
    shards.close_idle()
    assert connections_to(server.port) == before + 3

    shard._connections.close_idle(0)
    assert connections_to(server.port) == before
    assert store_on(shard).run(identity(), order_work()).state == "succeeded"
    assert shard.engine is engine


def test_a_connection_that_died_while_it_was_idle_is_replaced(
    either: Shard, end_connection: Callable[[Shard], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No error reaches the part: a connection that was idle for long is asked first."""
    store_on(either).run(identity("warm-up"), order_work(100))
    end_connection(either)
    monkeypatch.setattr(engine_events, "PING_AFTER_SECONDS", -1)

    assert store_on(either).run(identity(), order_work(1)).state == "succeeded"


def test_a_password_that_is_changed_is_taken_up(
    either: Shard, change_password: Callable[[str], None], tmp_path: Path
) -> None:
    """Old connections go on; between the two changes the shard is away; then it comes back by itself."""
    file = tmp_path / "password"
    file.write_text(PASSWORDS[0], encoding="ascii")
    change_password(PASSWORDS[0])
    url = either.engine.url.set(username="rotating", password=None).render_as_string()
    shard = Shard("one", settings.Shard(url=url, password_file=file))
    store = store_on(shard)

    assert succeeds(store, 1)
    change_password(PASSWORDS[1])
    assert succeeds(store, 2)
    shard.close()
    assert failure_of_work(shard, lambda connection: insert_order(connection, 9)).kind is Kind.AWAY
    file.write_text(f"{PASSWORDS[1]}\n", encoding="ascii")
    assert succeeds(store, 3)
    assert order_numbers(shard) == [1, 2, 3]
    shard.close()


def test_a_statement_and_a_wait_for_a_lock_have_their_time_outs(either: Shard) -> None:
    """Told by the server's own codes: one counts against the part, the other does not."""
    url = either.engine.url.render_as_string(hide_password=False)
    hasty = Shard("one", settings.Shard(url=url, statement_timeout=timedelta(seconds=1.5)))
    sleep = "SELECT pg_sleep(99)" if either.dialect == "postgresql" else "SELECT SLEEP(99)"
    slow = failure_of_work(hasty, statement(sleep))
    hasty.close()
    shard = Shard("one", settings.Shard(url=url, lock_timeout=timedelta(seconds=1)))
    with either.connect() as connection, connection.begin():
        insert_order(connection, 1)
        locked = failure_of_work(shard, lambda other: insert_order(other, 1))
    shard.close()

    assert (slow.kind, slow.code) == (Kind.TRANSIENT, "statement_timeout")
    assert (locked.kind, locked.code) == (Kind.BUSY, "busy")


@pytest.fixture(name="either", params=["shard", "mariadb_shard"])
def choose_shard(request: pytest.FixtureRequest) -> Shard:
    chosen: Shard = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(name="end_connection")
def make_end_connection(server: PostgreSQLServer, mariadb_server: MariaDBServer) -> Callable[[Shard], None]:
    """End the shard's one connection on its server."""

    def end(shard: Shard) -> None:
        with shard.connect() as connection:
            number = connection.execute(text(OWN_NUMBER[shard.dialect])).scalar_one()
        if shard.dialect == "postgresql":
            server.execute(f"SELECT pg_terminate_backend({number}, 10000)")
        else:
            mariadb_server.execute(f"KILL {number}")

    return end


@pytest.fixture(name="change_password")
def make_change_password(
    either: Shard, server: PostgreSQLServer, mariadb_server: MariaDBServer
) -> Iterator[Callable[[str], None]]:
    """Change the password of the user `rotating`, who is made for the test."""
    if either.dialect == "postgresql":
        server.execute("CREATE ROLE rotating LOGIN SUPERUSER")
        yield lambda password: server.execute(f"ALTER ROLE rotating PASSWORD '{password}'")
        server.execute("DROP ROLE rotating")
    else:
        mariadb_server.execute("CREATE USER rotating", "GRANT ALL ON *.* TO rotating")
        yield lambda password: mariadb_server.execute(f"ALTER USER rotating IDENTIFIED BY '{password}'")
        mariadb_server.execute("DROP USER rotating")


def succeeds(store: PartStore, number: int) -> bool:
    return store.run(identity(f"job-{number}"), order_work(number)).state == "succeeded"


@contextmanager
def hold(shard: Shard, count: int) -> Iterator[None]:
    """So many connections of the shard, in use."""
    with ExitStack() as connections:
        for _ in range(count):
            connections.enter_context(shard.connect()).execute(text("SELECT 1"))
        yield
