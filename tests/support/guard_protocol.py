"""The guard of a part's transaction, as tests that every database must pass.

A subclass gives the fixture `shard`: with an inbox, an empty table of orders and no rows.
"""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from shards.engines import Shard
from shards.failures import Kind, classify
from shards.guard import TransactionGuarded
from shards.inbox import (
    BrokenTransaction,
    Outcome,
)
from tests.support.parts import (
    ORDERS,
    identity,
    insert_order,
    order_numbers,
    order_work,
    store_on,
)
from tests.support.writes import WRITES, HandlerMishap, end_beneath, never, order_numbers_inside


def strange_rows(*_: Any) -> Any:
    """As a factory of rows: of SQLite's it is asked for each row, of psycopg's for what makes one."""
    return lambda _values: {"strange": True}


STRANGE: dict[str, Any] = {
    "fetchone": lambda _: {"strange": True},
    "fetchall": lambda _: [{"strange": True}],
}


class GuardProtocol:
    """Nobody but the worker ends a part's transaction, or it is found out."""

    @pytest.mark.parametrize(
        "end",
        [
            lambda connection: connection.commit(),
            lambda connection: connection.rollback(),
            lambda connection: connection.close(),
            lambda connection: connection.begin(),
            lambda connection: connection.begin_twophase(),
            lambda connection: connection.get_transaction().commit(),
            lambda connection: connection.get_transaction().rollback(),
            lambda connection: connection.get_transaction().close(),
            lambda connection: connection.__exit__(None, None, None),
            lambda connection: (
                Session(connection, join_transaction_mode="control_fully").connection().commit()
            ),
        ],
    )
    def test_a_handler_can_neither_end_the_transaction_nor_begin_another(
        self, shard: Shard, end: Callable[[Connection], object]
    ) -> None:
        """Each way is refused and changes nothing: what was written before and after it is committed once."""

        def work(connection: Connection) -> bytes:
            insert_order(connection, 1)
            with pytest.raises(TransactionGuarded, match="belongs to the worker"):
                end(connection)
            insert_order(connection, 2)
            return b"{}"

        assert store_on(shard).run(identity(), work).state == "succeeded"
        assert order_numbers(shard) == [1, 2]

    def test_a_temporary_table_does_not_outlive_its_part(self, shard: Shard) -> None:
        """The next part has the same connection, for another customer: it finds no rows of the first."""
        found: list[object] = []

        def work(connection: Connection) -> bytes:
            connection.exec_driver_sql("CREATE TEMPORARY TABLE IF NOT EXISTS staged (order_no INTEGER)")
            found.append(connection.exec_driver_sql("SELECT count(*) FROM staged").scalar_one())
            connection.exec_driver_sql("INSERT INTO staged VALUES (1)")
            return b"{}"

        for job_id in ("job-1", "job-2"):
            store_on(shard).run(identity(job_id), work)

        assert found == [0, 0]

    def test_the_next_part_s_rows_come_as_usual(self, shard: Shard) -> None:
        """Whatever a handler told the driver's connection of them: the inbox's rows are read by it, too."""

        def strange(connection: Connection) -> bytes:
            driver: Any = connection.connection.driver_connection
            if hasattr(driver, "cursorclass"):
                driver.cursorclass = driver.cursorclass.__class__("Strange", (driver.cursorclass,), STRANGE)
            else:
                driver.row_factory = strange_rows
            return b"{}"

        first = store_on(shard).run(identity(), strange)

        assert store_on(shard).run(identity(), never) == first
        store_on(shard).run(identity("job-2"), order_work(7))
        assert order_numbers(shard) == [7]

    def test_a_guarded_call_that_is_not_caught_rolls_the_part_back(self, shard: Shard) -> None:
        """The author's mistake is an error of the handler like any other."""

        def work(connection: Connection) -> bytes:
            insert_order(connection, 1)
            connection.commit()
            return b"{}"

        with pytest.raises(TransactionGuarded):
            store_on(shard).run(identity(), work)
        assert order_numbers(shard) == []

    def test_savepoints_work_inside_the_transaction(self, shard: Shard) -> None:
        """One that is rolled back takes its own writes with it and no others."""

        def work(connection: Connection) -> bytes:
            with connection.begin_nested():
                insert_order(connection, 1)
            savepoint = connection.begin_nested()
            insert_order(connection, 2)
            savepoint.rollback()
            insert_order(connection, 3)
            return b"{}"

        store_on(shard).run(identity(), work)

        assert order_numbers(shard) == [1, 3]

    def test_a_joined_session_only_flushes(self, shard: Shard) -> None:
        """Its commit ends a savepoint, its rollback too; the part's own end decides about both."""

        def work(connection: Connection) -> bytes:
            with Session(connection, join_transaction_mode="create_savepoint") as session:
                session.execute(ORDERS.insert(), {"order_no": 1})
                session.commit()
                session.execute(ORDERS.insert(), {"order_no": 2})
                session.rollback()
            if order_numbers_inside(connection) != [1]:
                raise AssertionError
            raise HandlerMishap

        with pytest.raises(HandlerMishap):
            store_on(shard).run(identity(), work)
        assert order_numbers(shard) == []

    @pytest.mark.parametrize("wrote_after", [False, True])
    @pytest.mark.parametrize("by_driver", [False, True])
    def test_a_handler_s_own_commit_is_found_out(
        self, shard: Shard, *, wrote_after: bool, by_driver: bool
    ) -> None:
        """By SQL or by the driver, with or without writes after it: broken now and at every later claim."""

        def work(connection: Connection) -> bytes:
            insert_order(connection, 1)
            end_beneath(connection, "COMMIT", by_driver=by_driver)
            if wrote_after:
                insert_order(connection, 2)
            return b"{}"

        store = store_on(shard)
        with pytest.raises(BrokenTransaction):
            store.run(identity(), work)

        for write in WRITES.values():
            with pytest.raises(BrokenTransaction):
                write(store, identity())
        assert store.fail_broken(identity(), b"broken") == Outcome("failed", 1, b"broken", dead_letter=True)
        assert store.run(identity(), never).body == b"broken"

    def test_a_handler_that_committed_and_then_failed_is_found_out(self, shard: Shard) -> None:
        """Its own error comes first; the claim that would record it finds the row."""

        def work(connection: Connection) -> bytes:
            end_beneath(connection, "COMMIT", by_driver=False)
            raise HandlerMishap

        store = store_on(shard)
        with pytest.raises(HandlerMishap):
            store.run(identity(), work)
        with pytest.raises(BrokenTransaction) as error:
            store.fail(identity(), b"", dead_letter=False)

        assert classify(error.value, shard.dialect).kind is Kind.BROKEN

    @pytest.mark.parametrize("by_driver", [False, True])
    def test_a_handler_s_own_rollback_is_found_out(self, shard: Shard, *, by_driver: bool) -> None:
        """The row is gone with it: there is no outcome to write, and none is pretended."""

        def work(connection: Connection) -> bytes:
            insert_order(connection, 1)
            end_beneath(connection, "ROLLBACK", by_driver=by_driver)
            return b"{}"

        store = store_on(shard)
        with pytest.raises(BrokenTransaction):
            store.run(identity(), work)

        assert store.fail_broken(identity(), b"broken").state == "failed"
        assert order_numbers(shard) == []
