"""The part's transaction on a real PostgreSQL server, and what a handler cannot carry out of it."""

from collections.abc import Iterator

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
    store_on,
)
from tests.support.placement_protocol import PlacementProtocol
from tests.support.work_failures import failure_of_work, statement
from tests.support.writes import execute


class TestOnPostgreSQL(PartProtocol, GuardProtocol, FaultProtocol):
    """Every database's promises, kept by PostgreSQL."""


class TestOnPostgreSQLWithPlacementRows(PartProtocol, GuardProtocol, FaultProtocol, PlacementProtocol):
    """The same promises where every claim checks the customer's placement."""

    @pytest.fixture(name="shard")
    def make_placed_shard(self, url: str) -> Iterator[PlacedShard]:
        """In place of the module's shard."""
        shard = placed_shard_at(url)
        yield shard
        shard.close()


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


def test_rows_that_a_cursor_held_and_numbers_of_sequences_do_not_outlive_their_part(shard: Shard) -> None:
    """They are the customer's before; and a cursor of the same name would be the next part's failure."""

    def work(connection: Connection) -> bytes:
        connection.exec_driver_sql("DECLARE held CURSOR WITH HOLD FOR SELECT 'of one customer'")
        connection.exec_driver_sql("SELECT nextval('numbers')")
        return b"{}"

    execute(shard, "CREATE SEQUENCE numbers")
    assert store_on(shard).run(identity("job-1"), work).state == "succeeded"
    assert store_on(shard).run(identity("job-2"), work).state == "succeeded"
    for leak in ("FETCH ALL FROM held", "SELECT lastval()"):
        unknown = pytest.raises(DBAPIError, match=r"does not exist|not yet defined")
        with shard.connect() as connection, unknown:
            connection.exec_driver_sql(leak)


def test_an_advisory_lock_does_not_outlive_its_part(shard: Shard) -> None:
    """It would keep others waiting until the connection is closed, in half an hour."""
    store_on(shard).run(identity(), _locked)
    with shard.connect() as same, shard.connect() as other:
        assert other.exec_driver_sql("SELECT pg_try_advisory_xact_lock(7)").scalar_one()
        assert same.exec_driver_sql("SELECT pg_try_advisory_xact_lock(8)").scalar_one()


def _locked(connection: Connection) -> bytes:
    connection.exec_driver_sql("SELECT pg_advisory_lock(7)")
    return b"{}"


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


def test_the_server_notices_a_minute_after_that_a_worker_s_machine_is_gone(shard: Shard) -> None:
    """By its own defaults it keeps the part's transaction, and its locks, for more than two hours."""
    names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count")
    store_on(shard).run(identity(), order_work(1))
    with shard.connect() as connection:
        idle, interval, count = (
            int(connection.exec_driver_sql(f"SHOW {name}").scalar_one()) for name in names
        )

    assert idle + interval * count == 60
