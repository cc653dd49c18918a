"""Servers that die, hang, fill up or hand over, on both databases: the part waits, then runs exactly once."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from secrets import token_hex

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from shards.engines import Shard
from shards.failures import Kind, classify
from shards.inbox import Outcome, create_inbox
from shards.parts import find_outcomes
from tests.support.lossy_proxy import LossyProxy, lossy_proxy
from tests.support.mariadb import MariaDBServer, running_mariadb
from tests.support.parts import (
    create_orders,
    identity,
    insert_order,
    order_numbers,
    order_work,
    shard_at,
    store_on,
)
from tests.support.postgresql import PostgreSQLServer, running_postgresql
from tests.support.work_failures import failure_of_work
from tests.support.world import wait_until
from tests.support.writes import never

Server = PostgreSQLServer | MariaDBServer

RUNNING: dict[str, Callable[..., AbstractContextManager[Server]]] = {
    "postgresql": running_postgresql,
    "mariadb": running_mariadb,
}
# what was committed must outlive the server's process, which the tests' servers do not promise else
DURABLE = {"postgresql": {"synchronous_commit": "on"}, "mariadb": {"innodb_flush_log_at_trx_commit": "2"}}
COMMITS = {"postgresql": b"COMMIT;", "mariadb": b"COMMIT"}
DATABASE = "shard"
LONG = {"postgresql": "", "mariadb": "LONG"}
FILE_BYTES = 18 * 2**20  # PostgreSQL's log is written in files of 16 MiB
TEXT_BYTES = 2**20
DONE = Outcome("succeeded", 1, b'{"inserted":1}')


@pytest.fixture(scope="module", params=RUNNING, name="kind")
def each_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture(scope="module", name="own_server")
def start_own_server(kind: str) -> Iterator[Server]:
    """A server that the tests of this file may kill."""
    with RUNNING[kind](**DURABLE[kind]) as server:
        yield server


@pytest.fixture(name="database")
def make_database(own_server: Server) -> str:
    own_server.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
    make_tables(own_server)
    return own_server.url(DATABASE)


@pytest.fixture(name="own_shard")
def make_own_shard(database: str) -> Iterator[Shard]:
    with shard_of(database) as shard:
        yield shard


@pytest.fixture(name="proxy")
def start_proxy(own_server: Server) -> Iterator[LossyProxy]:
    with lossy_proxy(own_server.port) as proxy:
        yield proxy


@pytest.fixture(name="proxied")
def make_proxied_shard(own_server: Server, database: str, proxy: LossyProxy) -> Iterator[Shard]:
    """The shard as it is reached through the proxy."""
    with shard_of(database.replace(f":{own_server.port}/", f":{proxy.port}/")) as shard:
        yield shard


def test_a_server_killed_in_mid_transaction_runs_the_part_after_its_restart(
    own_server: Server, own_shard: Shard
) -> None:
    """While it is down the shard is away; nothing of the part was left, and it runs once."""

    def work(connection: Connection) -> None:
        insert_order(connection, 1)
        own_server.kill()
        insert_order(connection, 2)

    killed = failure_of_work(own_shard, work)
    down = failure_of_work(own_shard, never)
    own_server.start()

    assert [killed.kind, down.kind] == [Kind.AWAY] * 2
    assert find_outcomes(own_shard, None, "job-1", ["c-1"]) == {}
    assert store_on(own_shard).run(identity(), order_work(1)) == DONE
    assert order_numbers(own_shard) == [1]


@pytest.mark.parametrize("landed", [False, True])
def test_after_a_broken_commit_the_inbox_is_asked(
    kind: str, proxy: LossyProxy, proxied: Shard, *, landed: bool
) -> None:
    """Lost on the way there or on the way back: the worker cannot tell, the inbox can; one effect."""
    store = store_on(proxied)
    store.run(identity("warm-up"), order_work(100))
    (proxy.lose_answer_to if landed else proxy.lose_request)(COMMITS[kind])

    with pytest.raises(Exception) as error:  # noqa: PT011  its kind is what counts
        store.run(identity(), order_work(1))
    assert classify(error.value, kind).kind is Kind.AWAY
    assert store.run(identity(), never if landed else order_work(1)) == DONE
    assert order_numbers(proxied) == [1, 100]


def test_connections_that_are_cut_are_a_shard_that_is_away(proxy: LossyProxy, proxied: Shard) -> None:
    """In the middle of a part: the next try has a connection of its own."""

    def work(connection: Connection) -> None:
        insert_order(connection, 1)
        proxy.cut()
        insert_order(connection, 2)

    assert failure_of_work(proxied, work).kind is Kind.AWAY
    assert store_on(proxied).run(identity(), order_work(1)) == DONE


def test_too_many_connections_are_a_shard_that_is_away(own_server: Server, database: str) -> None:
    """The server's limit, not ours: the part runs once somebody has left."""
    url = limited_user(own_server, database, connections=1)
    with shard_of(url) as first, shard_of(url) as second:
        with first.connect() as connection, connection.begin():
            failure = failure_of_work(second, never)
        first.close()
        wait_until(lambda: can_connect(second), "the server has seen that somebody left")

        assert failure.kind is Kind.AWAY
        assert store_on(second).run(identity(), order_work(1)) == DONE


def can_connect(shard: Shard) -> bool:
    try:
        with shard.connect():
            return True
    except DBAPIError:
        return False


def test_a_server_that_accepts_and_says_nothing_is_away(own_server: Server) -> None:
    """Connecting is given up in time, whatever the driver thinks of it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = own_server.url(DATABASE, connect_seconds=2)
        url = url.replace(f":{own_server.port}/", f":{silent.getsockname()[1]}/")
        with shard_of(url) as shard:
            failure = failure_of_work(shard, never)

    assert failure.kind is Kind.AWAY


def test_a_primary_that_became_a_standby_is_left(own_server: Server, database: str) -> None:
    """It refuses to write; the connection is not kept, so that the next one can find the new primary."""
    with shard_of(limited_user(own_server, database)) as shard:
        store_on(shard).run(identity("warm-up"), order_work(100))
        stand_by(own_server)
        failures = [failure_of_work(shard, lambda connection: insert_order(connection, 1)) for _ in range(2)]
        stand_by(own_server, to_it=False)

        assert [failure.kind for failure in failures] == [Kind.AWAY] * 2
        assert store_on(shard).run(identity(), order_work(1)) == DONE


def test_a_failover_behind_one_address_is_followed(kind: str) -> None:
    """The address leads to another server now: connections to the old one are given up when it refuses."""
    with RUNNING[kind]() as old, RUNNING[kind]() as new, lossy_proxy(old.port) as proxy:
        for server in (old, new):
            make_tables(server)
        limited_user(new, new.url(DATABASE))
        url = limited_user(old, old.url(DATABASE)).replace(f":{old.port}/", f":{proxy.port}/")
        with shard_of(url) as shard:
            store_on(shard).run(identity("warm-up"), order_work(100))
            stand_by(old)
            proxy.server_port = new.port

            assert failure_of_work(shard, lambda found: insert_order(found, 1)).kind is Kind.AWAY
            assert store_on(shard).run(identity(), order_work(1)) == DONE
            assert order_numbers(shard) == [1]


def test_a_failover_to_another_of_the_url_s_hosts_is_followed() -> None:
    """PostgreSQL's driver itself looks for the one that takes writes."""
    with running_postgresql() as old, running_postgresql() as new:
        for server in (old, new):
            make_tables(server)
        stand_by(new)
        hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in (old, new))
        login, _, _ = old.url(DATABASE).partition("@")
        with shard_of(f"{login}@/{DATABASE}?{hosts}&target_session_attrs=read-write") as shard:
            store_on(shard).run(identity("warm-up"), order_work(100))
            stand_by(old)
            stand_by(new, to_it=False)

            assert failure_of_work(shard, lambda found: insert_order(found, 1)).kind is Kind.AWAY
            assert store_on(shard).run(identity(), order_work(1)) == DONE
            assert order_numbers(shard) == [1]


def test_a_full_disk_is_a_shard_that_is_away(own_server: Server, own_shard: Shard) -> None:
    """Nothing of the part is left, and it succeeds once there is room again."""
    with own_shard.connect() as connection, connection.begin():
        connection.execute(
            text("CREATE TABLE texts (text LONGTEXT)".replace("LONG", LONG[own_shard.dialect]))
        )

    def work(connection: Connection) -> bytes:
        insert_order(connection, 1)
        for _ in range(2 * FILE_BYTES // TEXT_BYTES):
            connection.execute(text("INSERT INTO texts VALUES (:text)"), {"text": token_hex(TEXT_BYTES // 2)})
        return b'{"inserted":1}'

    restart(own_server, file_bytes_maximum=FILE_BYTES)
    own_shard.close()
    full = failure_of_work(own_shard, work)
    restart(own_server, file_bytes_maximum=None)
    own_shard.close()

    assert full.kind is Kind.AWAY
    assert find_outcomes(own_shard, None, "job-1", ["c-1"]) == {}
    assert store_on(own_shard).run(identity(), work) == DONE


def restart(server: Server, *, file_bytes_maximum: int | None) -> None:
    server.kill()
    server.start(file_bytes_maximum=file_bytes_maximum)


@contextmanager
def shard_of(url: str) -> Iterator[Shard]:
    shard = shard_at(url)
    try:
        yield shard
    finally:
        shard.close()


def make_tables(server: Server) -> None:
    server.create_database(DATABASE)
    with shard_of(server.url(DATABASE)) as shard:
        create_inbox(shard, None)
        create_orders(shard)


def limited_user(server: Server, url: str, *, connections: int = 9) -> str:
    """The URL of a user who is no superuser and may have so many connections."""
    if isinstance(server, PostgreSQLServer):
        server.execute(
            "DROP ROLE IF EXISTS limited",
            f"CREATE ROLE limited LOGIN PASSWORD 'pw' CONNECTION LIMIT {connections}",
            "GRANT pg_read_all_data, pg_write_all_data TO limited",
        )
    else:
        server.execute(
            f"CREATE OR REPLACE USER limited IDENTIFIED BY 'pw' WITH MAX_USER_CONNECTIONS {connections}",
            f"GRANT ALL ON {DATABASE}.* TO limited",
        )
    driver, _, rest = url.partition("://")
    return f"{driver}://limited:pw@{rest.partition('@')[2]}"


def stand_by(server: Server, *, to_it: bool = True) -> None:
    """Let the server refuse to write, as one does that another has taken over from; or take writes again."""
    if isinstance(server, MariaDBServer):
        server.execute(f"SET GLOBAL read_only = {int(to_it)}")
        return
    wanted = "on" if to_it else "off"
    server.execute(
        "SET default_transaction_read_only = off",
        f"ALTER SYSTEM SET default_transaction_read_only = {wanted}",
        "SELECT pg_reload_conf()",
    )
    with shard_of(server.url("postgres")) as shard:
        while shown_by_a_new_connection(shard) != wanted:
            shard.close()


def shown_by_a_new_connection(shard: Shard) -> object:
    with shard.connect() as connection:
        return connection.exec_driver_sql("SHOW default_transaction_read_only").scalar_one()
