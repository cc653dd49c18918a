"""Connections to PostgreSQL that cannot be had, are lost or come to a standby: the shard is away."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from config import settings
from shards.engines import Shard
from shards.failures import Kind, classify
from shards.inbox import Outcome, check_inbox
from shards.parts import find_outcomes
from tests.support.lossy_proxy import lossy_proxy
from tests.support.parts import identity, insert_order, order_work, shard_at, store_on
from tests.support.postgresql import PostgreSQLServer
from tests.support.private_server import PASSWORD
from tests.support.work_failures import failure_of_work, statement
from tests.support.writes import execute, never

UNUSED_PORT = 1


def test_a_terminated_connection_is_a_shard_that_is_away(shard: Shard) -> None:
    """Nothing of the part is left, and the next try has a connection that works."""

    def work(connection: Connection) -> None:
        insert_order(connection, 1)
        terminate_own_backend(connection)

    assert failure_of_work(shard, work).kind is Kind.AWAY
    assert store_on(shard).run(identity(), order_work(1)).state == "succeeded"


def test_a_handler_that_swallows_a_lost_connection_does_not_hide_it(shard: Shard) -> None:
    """Neither what it returns nor what it raises then says anything about the part."""

    def swallow(connection: Connection) -> bytes:
        with pytest.raises(Exception, match="terminat"):
            terminate_own_backend(connection)
        return b"{}"

    def complain(connection: Connection) -> bytes:
        swallow(connection)
        raise ValueError("bad data, says the handler")

    assert failure_of_work(shard, swallow).kind is Kind.AWAY
    assert failure_of_work(shard, complain).kind is Kind.AWAY


def test_a_connection_that_died_in_the_pool_is_a_shard_that_is_away(shard: Shard) -> None:
    """After a restart of the server, the first part says so and the next one runs."""
    store = store_on(shard)
    store.run(identity("warm-up"), order_work(100))
    terminate_others(shard)

    with pytest.raises(Exception, match="terminat") as error:
        store.run(identity(), order_work(1))
    assert classify(error.value, "postgresql").kind is Kind.AWAY
    assert store.run(identity(), order_work(1)).state == "succeeded"


def test_a_connection_lost_during_a_commit_that_did_not_land_is_run_again(shard: Shard) -> None:
    """The server died in the middle of it: the inbox says that nothing is there."""
    execute(
        shard,
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';"
        " CREATE CONSTRAINT TRIGGER dying AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION die()",
    )
    assert failure_of_work(shard, lambda connection: insert_order(connection, 1)).kind is Kind.AWAY

    execute(shard, "DROP TRIGGER dying ON orders")
    assert find_outcomes(shard, None, "job-1", ["c-1"]) == {}
    assert store_on(shard).run(identity(), order_work(1)).state == "succeeded"


def test_a_connection_lost_after_a_commit_that_landed_is_not_run_again(
    server: PostgreSQLServer, url: str
) -> None:
    """The answer to COMMIT was lost: the next claim asks the inbox and finds the outcome."""
    with lossy_proxy(server.port) as proxy:
        shard = shard_at(url.replace(f":{server.port}/", f":{proxy.port}/"))
        store = store_on(shard)
        store.run(identity("warm-up"), order_work(100))
        proxy.lose_answer_to(b"COMMIT;")

        with pytest.raises(Exception) as error:  # noqa: PT011  its kind is what counts
            store.run(identity(), order_work(1))
        assert classify(error.value, "postgresql").kind is Kind.AWAY
        assert store.run(identity(), never) == Outcome("succeeded", 1, b'{"inserted":1}')
        shard.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda server: server.url("postgres").replace(f":{server.port}/", f":{UNUSED_PORT}/"),
        lambda server: server.url("postgres", password="not-the-password"),
        lambda server: server.url("no_such_database"),
        lambda server: server.url("postgres", password=None),
    ],
    ids=["refused", "wrong password", "no such database", "no password"],
)
def test_a_server_that_cannot_be_asked_is_away_and_no_secret_is_told(
    server: PostgreSQLServer, change: Callable[[PostgreSQLServer], str]
) -> None:
    """Connecting fails without a code; neither the message nor the shard's name for itself holds the URL."""
    shard = shard_at(change(server))
    failure = failure_of_work(shard, never)

    assert failure.kind is Kind.AWAY
    assert "password" not in failure.message + repr(shard)
    assert check_inbox(shard, None) == [f"Shard 'one' cannot be checked: {failure.message}"]


def test_a_password_file_is_read_for_each_connection(server: PostgreSQLServer, tmp_path: Path) -> None:
    """A file that is missing is a shard that is away; once it is there the shard is, without a restart."""
    path = tmp_path / "password"
    section = settings.Shard(url=server.url("postgres", password=None), password_file=path)
    shard = Shard("one", section)
    failure = failure_of_work(shard, never)
    path.write_text(PASSWORD + "\n", encoding="utf-8")

    assert failure.kind is Kind.AWAY
    assert f"the password file {path} cannot be read" in failure.message
    with shard.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    shard.close()


def test_a_primary_that_became_a_standby_is_away(shard: Shard) -> None:
    """It refuses writes until the failover is through."""
    failure = failure_of_work(
        shard, statement("SET LOCAL transaction_read_only = on; INSERT INTO orders (order_no) VALUES (1)")
    )

    assert failure.kind is Kind.AWAY


def test_more_connections_than_the_limit_are_not_opened(url: str) -> None:
    """A part that would need one more waits a second and is told that the shard is away."""
    shard = shard_at(url, limit=1)
    with shard.connect() as connection, connection.begin():
        failure = failure_of_work(shard, never)
    shard.close()

    assert failure.kind is Kind.AWAY


def terminate_own_backend(connection: Connection) -> None:
    """Have the server end this very connection."""
    connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def terminate_others(shard: Shard) -> None:
    """End every other connection to the database, and wait until it is ended."""
    ended = shard_at(shard.engine.url.render_as_string(hide_password=False))
    execute(
        ended,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    ended.close()
