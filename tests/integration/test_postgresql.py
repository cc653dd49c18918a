"""The part's transaction on a real PostgreSQL server."""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from config import settings
from shards.engines import Shard
from shards.failures import Failure, Kind, classify
from shards.inbox import BrokenTransaction, Outcome, check_inbox, create_inbox
from shards.parts import find_outcomes
from tests.support.fault_protocol import FaultProtocol
from tests.support.guard_protocol import GuardProtocol
from tests.support.lossy_proxy import lossy_proxy
from tests.support.part_protocol import PartProtocol
from tests.support.parts import (
    create_orders,
    identity,
    insert_order,
    order_numbers,
    order_work,
    shard_at,
    store_on,
)
from tests.support.postgresql import PASSWORD, PostgreSQLServer, running_postgresql
from tests.support.writes import execute, never

DATABASE = "shard"
UNUSED_PORT = 1
EVERYTHING = "DROP SCHEMA IF EXISTS public, tenant_1, tenant_2 CASCADE; CREATE SCHEMA public"


@pytest.fixture(scope="module", name="server")
def start_server() -> Iterator[PostgreSQLServer]:
    with running_postgresql() as server:
        server.create_database(DATABASE)
        yield server


@pytest.fixture(name="url")
def empty_database(server: PostgreSQLServer) -> str:
    shard = shard_at(server.url(DATABASE))
    execute(shard, EVERYTHING)
    create_inbox(shard, None)
    create_orders(shard)
    shard.close()
    return server.url(DATABASE)


@pytest.fixture(name="shard")
def make_shard(url: str) -> Iterator[Shard]:
    shard = shard_at(url)
    yield shard
    shard.close()


def failure_of_work(shard: Shard, work: Callable[[Connection], object]) -> Failure:
    """What a part's work fails with, seen through the whole transaction."""

    def encoded(connection: Connection) -> bytes:
        work(connection)
        return b"{}"

    with pytest.raises(Exception) as error:  # noqa: PT011  which one it is, is what the test asks
        store_on(shard).run(identity(), encoded)
    return classify(error.value, shard.dialect)


def statement(sql: str) -> Callable[[Connection], object]:
    """Work of one statement."""
    return lambda connection: connection.execute(text(sql))


class TestOnPostgreSQL(PartProtocol, GuardProtocol, FaultProtocol):
    """Every database's promises, kept by PostgreSQL."""


@pytest.mark.parametrize(
    ("change", "setting", "kept"),
    [
        ("SET search_path TO public, pg_catalog", "search_path", '"$user", public'),
        ("SET ROLE pg_monitor", "role", "none"),
        ("SET lock_timeout TO 0", "lock_timeout", "5s"),
    ],
)
def test_what_a_handler_sets_for_its_session_does_not_outlive_its_part(
    shard: Shard, change: str, setting: str, kept: str
) -> None:
    """The next part has the same connection: another search path would lead to another customer's tables."""

    def work(connection: Connection) -> bytes:
        connection.exec_driver_sql(change)
        return b"{}"

    execute(shard, "GRANT USAGE ON SCHEMA public TO pg_monitor")
    execute(shard, "GRANT ALL ON ALL TABLES IN SCHEMA public TO pg_monitor")
    store_on(shard).run(identity(), work)
    with shard.connect() as connection:
        assert connection.exec_driver_sql(f"SHOW {setting}").scalar_one() == kept


def test_an_advisory_lock_does_not_outlive_its_part(shard: Shard) -> None:
    """It would keep others waiting until the connection is closed, in half an hour."""
    store_on(shard).run(identity(), _locked)
    with shard.connect() as same, shard.connect() as other:
        assert other.exec_driver_sql("SELECT pg_try_advisory_xact_lock(7)").scalar_one()
        assert same.exec_driver_sql("SELECT pg_try_advisory_xact_lock(8)").scalar_one()


def _locked(connection: Connection) -> bytes:
    connection.exec_driver_sql("SELECT pg_advisory_lock(7)")
    return b"{}"


@pytest.mark.parametrize(
    ("sql", "code", "names"),
    [
        (
            "INSERT INTO orders (order_no) VALUES (7), (7)",
            "unique_violation",
            "column order_no, constraint orders",
        ),
        ("INSERT INTO orders (order_no, name) VALUES (1, NULL)", "not_null_violation", "column name"),
        ("INSERT INTO orders (order_no, name) VALUES (1, 'longer than ten')", "value_too_long", ""),
        ("INSERT INTO orders (order_no, amount) VALUES (1, 0)", "check_violation", "amount_is_positive"),
        ("INSERT INTO orders (order_no) VALUES (99999999999)", "value_out_of_range", ""),
        ("INSERT INTO orders (order_no) VALUES (CAST('7x' AS text)::integer)", "invalid_value", ""),
        ("DO $$ BEGIN RAISE EXCEPTION 'a rule of the 7x customer'; END $$", "integrity_violation", ""),
    ],
)
def test_faults_of_the_data_are_permanent_and_name_no_value(
    shard: Shard, sql: str, code: str, names: str
) -> None:
    """The code tells which; table, column and constraint are named where the server names them."""
    failure = failure_of_work(shard, statement(sql))

    assert (failure.kind, failure.code) == (Kind.PERMANENT, code)
    assert names in failure.message
    assert "7" not in failure.message.replace("value 7", "")


def test_a_foreign_key_and_a_deferred_one_are_the_same_fault(shard: Shard) -> None:
    """A constraint that is checked at COMMIT fails the part as one that is checked at once."""
    for timing in ("NOT DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED"):
        execute(shard, "DROP TABLE IF EXISTS lines")
        execute(shard, f"CREATE TABLE lines (order_no INTEGER REFERENCES orders (order_no) {timing})")
        failure = failure_of_work(shard, statement("INSERT INTO lines VALUES (5)"))

        assert (failure.code, failure.details[0].column) == ("foreign_key_violation", "order_no")


@pytest.mark.parametrize("value", ["nul \x00 inside", "lone \ud800 surrogate"])
def test_text_that_the_driver_refuses_is_a_fault_of_the_data(shard: Shard, value: str) -> None:
    """It never reached the server, so it has no code; trying again cannot help."""

    def work(connection: Connection) -> None:
        connection.execute(text("INSERT INTO orders (order_no, name) VALUES (1, :name)"), {"name": value})

    failure = failure_of_work(shard, work)

    assert (failure.kind, failure.code) == (Kind.PERMANENT, "invalid_value")


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM missing", "SELECT missing FROM orders", "SELEKT 1", "SELECT pg_read_file('/none')"]
)
def test_a_missing_table_or_column_is_a_defect(shard: Shard, sql: str) -> None:
    """Never reported as bad data."""
    if "pg_read_file" in sql:
        sql = "SET LOCAL ROLE pg_monitor; INSERT INTO orders (order_no) VALUES (1)"

    assert failure_of_work(shard, statement(sql)).kind is Kind.DEFECT


def test_a_statement_timeout_is_transient(url: str) -> None:
    """It is counted as an attempt."""
    shard = shard_at(url, statement_timeout=0.05)
    failure = failure_of_work(shard, statement("SELECT pg_sleep(30)"))
    shard.close()

    assert (failure.kind, failure.code) == (Kind.TRANSIENT, "statement_timeout")


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


def test_eight_workers_with_the_same_part_run_it_once(shard: Shard) -> None:
    """Seven wait for the first, and all get the same outcome."""
    bodies = itertools.count()
    barrier = threading.Barrier(8)

    def deliver(_: int) -> Outcome:
        barrier.wait()
        return store_on(shard).run(identity(), order_work(1, b"%d" % next(bodies)))

    with ThreadPoolExecutor(8) as workers:
        outcomes = set(workers.map(deliver, range(8)))

    assert len(outcomes) == 1
    assert order_numbers(shard) == [1]


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


def test_a_deadlock_is_retried_until_both_parts_are_done(shard: Shard) -> None:
    """One of the two is the victim; its whole transaction is run again."""
    execute(shard, "INSERT INTO orders (order_no) VALUES (1), (2)")
    barrier = threading.Barrier(2)
    runs: list[int] = []

    def work(first: int, second: int) -> Callable[[Connection], bytes]:
        def update(connection: Connection) -> bytes:
            runs.append(first)
            touch(connection, first)
            if len(runs) <= 2:
                barrier.wait()
            touch(connection, second)
            return b"{}"

        return update

    with ThreadPoolExecutor(2) as workers:
        one = workers.submit(store_on(shard).run, identity("job-1"), work(1, 2))
        two = workers.submit(store_on(shard).run, identity("job-2"), work(2, 1))
        assert (one.result().state, two.result().state) == ("succeeded", "succeeded")

    assert len(runs) > 2


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
        proxy.lose_answer_to(b"COMMIT\0")

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


def test_an_error_that_a_handler_swallowed_is_the_handler_s(shard: Shard) -> None:
    """The transaction is lost although nobody said so; that is no fault of the inbox."""

    def work(connection: Connection) -> None:
        with pytest.raises(Exception, match="missing"):
            connection.execute(text("SELECT * FROM missing"))

    failure = failure_of_work(shard, work)

    assert (failure.kind, failure.code) == (Kind.TRANSIENT, "handler_error")
    assert order_numbers(shard) == []


def test_a_handler_that_hides_the_inbox_is_its_own_defect(shard: Shard) -> None:
    """The table was there when the part was claimed: the shard does not look away, and the attempt counts."""
    failure = failure_of_work(shard, statement("SET LOCAL search_path TO pg_temp"))

    assert (failure.kind, failure.code) == (Kind.DEFECT, "schema_defect")
    assert store_on(shard).count_attempt(identity(), 5, lambda _: b"") == 1


def test_a_commit_hidden_behind_a_begin_is_found_out(shard: Shard) -> None:
    """The transaction that writes the outcome is not the one that claimed the part."""

    def work(connection: Connection) -> bytes:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("BEGIN")
        insert_order(connection, 1)
        return b"{}"

    with pytest.raises(BrokenTransaction):
        store_on(shard).run(identity(), work)
    assert order_numbers(shard) == []


def test_each_customer_s_schema_has_its_own_inbox_and_data(shard: Shard) -> None:
    """One pool serves them all; the handler's tables are looked for in the customer's schema."""
    for number, schema in enumerate(["tenant_1", "tenant_2"]):
        execute(shard, f"CREATE SCHEMA {schema}")
        execute(shard, f"CREATE TABLE {schema}.orders (LIKE orders INCLUDING ALL)")
        assert "tenant" in check_inbox(shard, schema)[0]
        assert [create_inbox(shard, schema), create_inbox(shard, schema)] == [True, False]
        assert check_inbox(shard, schema) == []
        store_on(shard, schema=schema).run(identity(), order_work(number))

    assert [order_numbers(shard, schema) for schema in (None, "tenant_1", "tenant_2")] == [[], [0], [1]]
    assert find_outcomes(shard, None, "job-1", ["c-1"]) == {}


def test_the_session_s_time_outs_and_isolation_are_the_shard_s(shard: Shard) -> None:
    """Set when connecting, without a round trip per part."""
    with shard.connect() as connection:
        shown = [
            connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            for name in ("lock_timeout", "statement_timeout", "transaction_isolation", "application_name")
        ]

    assert shown == ["5s", "30s", "read committed", "shardworker"]


def test_more_connections_than_the_limit_are_not_opened(url: str) -> None:
    """A part that would need one more waits a second and is told that the shard is away."""
    shard = shard_at(url, limit=1)
    with shard.connect() as connection, connection.begin():
        failure = failure_of_work(shard, never)
    shard.close()

    assert failure.kind is Kind.AWAY


def touch(connection: Connection, order_no: int) -> None:
    """Lock a row by updating it."""
    connection.execute(
        text("UPDATE orders SET amount = 1 WHERE order_no = :order_no"), {"order_no": order_no}
    )


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


def wait_until_someone_waits(connection: Connection) -> None:
    """Return once another connection waits for a lock."""
    waiting: Any = 0
    while not waiting:
        waiting = connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))
