"""The part's transaction on a real MariaDB server, and what a handler cannot carry out of it."""

from collections.abc import Iterator
from contextlib import nullcontext, suppress
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from shards.engines import Shard
from shards.failures import Kind
from shards.inbox import BrokenTransaction, check_inbox, create_inbox
from shards.parts import find_outcomes
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
    shard_at,
    store_on,
)
from tests.support.placement_protocol import PlacementProtocol
from tests.support.work_failures import failure_of_work, statement
from tests.support.writes import HandlerMishap, execute, never


class TestOnMariaDB(PartProtocol, GuardProtocol, FaultProtocol):
    """Every database's promises, kept by MariaDB."""

    usual_statements = ("INSERT", "SAVEPOINT", "INSERT", "RELEASE", "UPDATE", "COMMIT")

    @pytest.fixture(name="shard")
    def of_mariadb(self, mariadb_shard: Shard) -> Shard:
        """The shard that the protocols are run on."""
        return mariadb_shard


class TestOnMariaDBWithPlacementRows(TestOnMariaDB, PlacementProtocol):
    """The same promises where every claim checks the customer's placement."""

    @pytest.fixture(name="shard")
    def of_mariadb(self, mariadb_url: str) -> Iterator[PlacedShard]:
        """A shard with placement rows in place of the other."""
        shard = placed_shard_at(mariadb_url)
        yield shard
        shard.close()


class TestThroughMySQLClient(TestOnMariaDB):
    """The same through the other driver."""

    @pytest.fixture(name="shard")
    def of_mariadb(self, mysqlclient_shard: Shard) -> Shard:
        """The shard that the protocols are run on."""
        return mysqlclient_shard


COMMITS = [
    "CREATE TABLE others (number INTEGER)",
    "TRUNCATE TABLE others_before",
    "ALTER TABLE others_before ADD COLUMN text VARCHAR(10)",
    "COMMIT AND CHAIN",
    "BEGIN",
    "START TRANSACTION READ WRITE",
    "SET autocommit = 1",
    "LOCK TABLES orders WRITE, shardworker_inbox WRITE",
    "CALL commits_by_itself()",
    "ANALYZE TABLE orders",
]


@pytest.mark.parametrize("sql", COMMITS)
@pytest.mark.parametrize("by_driver", [False, True])
def test_a_statement_that_commits_unasked_is_found_out(
    either_shard: Shard, sql: str, *, by_driver: bool
) -> None:
    """Whatever is done after it, and although the next transaction looks just like the first."""
    execute(either_shard, "CREATE TABLE others_before (number INTEGER)")
    execute(either_shard, "CREATE PROCEDURE commits_by_itself() BEGIN COMMIT; SELECT 1; END")

    def work(connection: Connection) -> bytes:
        insert_order(connection, 1)
        run_beneath(connection, sql) if by_driver else connection.execute(text(sql)).close()
        insert_order(connection, 2)
        return b"{}"

    store = store_on(either_shard)
    with pytest.raises(BrokenTransaction):
        store.run(identity(), work)
    with pytest.raises(BrokenTransaction):
        store.run(identity(), never)
    assert 1 in order_numbers(either_shard)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TEMPORARY TABLE staged (number INTEGER)",
        "SAVEPOINT mine",
        "SET @counted = 1",
        "USE information_schema",
        "SELECT GET_LOCK('mine', 1)",
    ],
)
def test_a_statement_that_commits_nothing_is_no_offence(either_shard: Shard, sql: str) -> None:
    """The part succeeds, with what was written before and after it."""

    def work(connection: Connection) -> bytes:
        insert_order(connection, 1)
        connection.execute(text(sql))
        connection.execute(text("INSERT INTO shard.orders (order_no) VALUES (2)"))
        connection.execute(text("USE shard"))
        return b"{}"

    assert store_on(either_shard).run(identity(), work).state == "succeeded"
    assert order_numbers(either_shard) == [1, 2]


@pytest.mark.parametrize("swallowed", [False, True])
def test_a_deadlock_that_a_handler_hides_is_retried_all_the_same(
    either_shard: Shard, *, swallowed: bool
) -> None:
    """The server took the savepoints too: leaving one, the handler raises that it does not exist."""
    execute(
        either_shard,
        "CREATE PROCEDURE deadlocks() BEGIN ROLLBACK;"
        " SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found'; END",
    )
    runs: list[int] = []

    def deadlock(connection: Connection) -> None:
        if len(runs) > 1:
            return
        with connection.begin_nested():
            connection.execute(text("CALL deadlocks()"))

    def work(connection: Connection) -> bytes:
        runs.append(1)
        insert_order(connection, len(runs))
        with suppress(DBAPIError) if swallowed else nullcontext():
            deadlock(connection)
        insert_order(connection, 10)
        return b"{}"

    assert store_on(either_shard).run(identity(), work).state == "succeeded"
    assert order_numbers(either_shard) == [2, 10]


LEFT_BEHIND: list[tuple[str, str, object]] = [
    ("USE mysql", "SELECT DATABASE()", "shard"),
    ("SET time_zone = '+03:00'", "SELECT @@SESSION.time_zone", "SYSTEM"),
    ("SET foreign_key_checks = 0", "SELECT @@SESSION.foreign_key_checks", 1),
    ("SET innodb_lock_wait_timeout = 50", "SELECT @@SESSION.innodb_lock_wait_timeout", 5),
    ("SET wait_timeout = 50", "SELECT @@SESSION.wait_timeout", 1800),
    ("SET max_statement_time = 0", "SELECT @@SESSION.max_statement_time", 30.0),
    ("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SELECT @@tx_isolation", "READ-COMMITTED"),
    ("SET character_set_client = latin1", "SELECT @@character_set_client", "utf8mb4"),
    ("SET sql_mode = ''", "SELECT LOCATE('STRICT_TRANS_TABLES', @@SESSION.sql_mode) > 0", 1),
    ("SET @customer = 'c-1'", "SELECT @customer", None),
    ("SELECT GET_LOCK('of the part', 1)", "SELECT IS_FREE_LOCK('of the part')", 1),
    ("SET autocommit = 1", "SELECT @@SESSION.autocommit", 0),
]


@pytest.mark.parametrize(("change", "look", "kept"), LEFT_BEHIND)
def test_what_a_handler_sets_for_its_session_does_not_outlive_its_part(
    either_shard: Shard, change: str, look: str, kept: object
) -> None:
    """The next part gets the same connection, or another one: it finds it as if it were new."""

    def work(connection: Connection) -> bytes:
        connection.exec_driver_sql(change)
        raise HandlerMishap

    with pytest.raises(HandlerMishap):
        store_on(either_shard).run(identity(), work)
    with either_shard.connect() as connection:
        assert connection.exec_driver_sql(look).scalar_one() == kept


def test_locked_tables_do_not_outlive_a_part(either_shard: Shard) -> None:
    """They would keep every other part waiting until the connection is closed."""
    with pytest.raises(BrokenTransaction):
        store_on(either_shard).run(identity(), _locked)

    assert store_on(either_shard).run(identity("job-2"), order_work(1)).state == "succeeded"


def _locked(connection: Connection) -> bytes:
    connection.exec_driver_sql("LOCK TABLES orders WRITE, shardworker_inbox WRITE")
    return b"{}"


def test_a_session_is_kept_for_the_next_part(either_shard: Shard) -> None:
    """Taking its state back does not cost the connection; only another database does."""
    seen: list[object] = []

    def work(connection: Connection) -> bytes:
        seen.append(connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one())
        return b"{}"

    for number in range(3):
        store_on(either_shard).run(identity(f"job-{number}"), work)

    assert len(set(seen)) == 1


def test_each_customer_s_database_has_its_own_inbox_and_data(either_shard: Shard) -> None:
    """One pool serves them all; the handler's tables are looked for in the customer's database."""
    for number, schema in enumerate(["tenant_1", "tenant_2"]):
        execute(either_shard, f"CREATE DATABASE {schema}")
        execute(either_shard, f"CREATE TABLE {schema}.orders LIKE orders")
        assert "tenant" in check_inbox(either_shard, schema)[0]
        assert [create_inbox(either_shard, schema), create_inbox(either_shard, schema)] == [True, False]
        assert check_inbox(either_shard, schema) == []
        store_on(either_shard, schema=schema).run(identity(), order_work(number))

    numbers = [order_numbers(either_shard, schema) for schema in (None, "tenant_1", "tenant_2")]
    assert numbers == [[], [0], [1]]
    assert find_outcomes(either_shard, None, "job-1", ["c-1"]) == {}


def test_a_server_without_strict_mode_cuts_no_value(mariadb_url: str) -> None:
    """The worker's sessions are strict whatever the server's own mode is, and keep the rest of that mode."""
    shard = shard_at(mariadb_url + "&sql_mode=ANSI_QUOTES")
    failure = failure_of_work(
        shard, statement("INSERT INTO orders (order_no, name) VALUES (1, 'longer than')")
    )
    with shard.connect() as connection:
        mode = connection.exec_driver_sql("SELECT @@SESSION.sql_mode").scalar_one()
    shard.close()

    assert (failure.kind, failure.code) == (Kind.PERMANENT, "value_too_long")
    assert mode.split(",") == ["ANSI_QUOTES", "STRICT_TRANS_TABLES"]


def test_a_statement_of_the_url_s_own_wins_and_stays(mariadb_url: str) -> None:
    """Also after a session was taken back for the next part."""
    shard = shard_at(mariadb_url + "&init_command=SET+innodb_lock_wait_timeout%3D7")
    found: list[object] = []

    def work(connection: Connection) -> bytes:
        found.append(connection.exec_driver_sql("SELECT @@SESSION.innodb_lock_wait_timeout").scalar_one())
        return b"{}"

    for number in range(2):
        store_on(shard).run(identity(f"job-{number}"), work)
    shard.close()

    assert found == [7, 7]


def run_beneath(connection: Connection, sql: str) -> None:
    """Run a statement on a cursor of the driver's own."""
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        cursor.execute(sql)
        while cursor.nextset():
            cursor.fetchall()
