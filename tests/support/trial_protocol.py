"""The promises of a trial, as tests that every database must pass.

A subclass gives the fixture `shard`: with an inbox, an empty table of orders and no rows.
"""

from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    column,
    delete,
    insert,
    table,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Session

from config.result import Change
from shards.bulk import insert_rows
from shards.changes import Changes
from shards.conflicts import Conflict
from shards.engines import Shard
from shards.failures import Kind, classify
from shards.guard import PartConnection, TransactionGuarded
from shards.inbox import BrokenTransaction
from shards.transaction_tries import TransactionConflict
from tests.support.parts import identity, insert_order, order_numbers, order_work, store_on
from tests.support.trials import changes_of, tables_of, trial_on
from tests.support.writes import HandlerMishap, conflict, end_beneath, execute

ORDERS = Table(
    "orders",
    MetaData(),
    Column("order_no", Integer, primary_key=True, autoincrement=False),
    Column("name", String(10)),
    Column("amount", Integer),
)


class Base(DeclarativeBase):
    """What the ORM's classes have in common."""

    metadata = ORDERS.metadata


class Order(Base):
    """An order as the ORM has it."""

    __table__ = ORDERS


def rows(first: int, count: int) -> list[dict[str, Any]]:
    """So many orders."""
    return [{"order_no": first + number, "name": "chair", "amount": 1} for number in range(count)]


def order_tried(connection: PartConnection, _: Changes) -> bytes:
    """A handler that inserts one order."""
    insert_order(connection, 1)
    return b"tried"


def replace_orders(connection: PartConnection, count: int) -> None:
    """Insert so many orders, of which those that are there already are replaced."""
    insert_rows(connection, ORDERS, rows(1, count), conflict=Conflict("update", ("order_no",)))


class TrialProtocol:
    """All is done as for real, and nothing of it stays."""

    def test_a_trial_leaves_every_table_as_it_was(self, shard: Shard) -> None:
        """Whatever the handler writes; the real part can follow as if nothing had been."""
        store_on(shard).run(identity("earlier"), order_work(7))
        before = tables_of(shard)

        def work(connection: PartConnection, _: Changes) -> bytes:
            insert_rows(connection, ORDERS, rows(100, 120))
            connection.execute(update(ORDERS).values(name="table"))
            connection.execute(delete(ORDERS).where(ORDERS.c.order_no == 7))
            return b"tried"

        assert [trial_on(shard).run(work) for _ in range(2)] == [b"tried"] * 2
        assert tables_of(shard) == before
        assert store_on(shard).run(identity(), order_work(1)).state == "succeeded"

    def test_a_trial_needs_no_inbox(self, shard: Shard) -> None:
        """It is neither read nor written: there need be none."""
        execute(shard, "DROP TABLE shardworker_inbox")

        assert trial_on(shard).run(order_tried) == b"tried"

    def test_an_error_comes_as_it_is_and_leaves_nothing(self, shard: Shard) -> None:
        """The handler's own and the database's, as for a part."""
        store_on(shard).run(identity(), order_work(1))

        def mishap(connection: PartConnection, _: Changes) -> bytes:
            insert_order(connection, 2)
            raise HandlerMishap

        with pytest.raises(IntegrityError):
            trial_on(shard).run(order_tried)
        with pytest.raises(HandlerMishap):
            trial_on(shard).run(mishap)
        assert order_numbers(shard) == [1]

    def test_a_conflict_is_tried_again_in_place(self, shard: Shard) -> None:
        """As a part is; what the tries before have changed does not count."""
        tries: list[Change] = []

        def work(connection: PartConnection, changes: Changes) -> bytes:
            insert_order(connection, 1)
            tries.extend(changes.told())
            if len(tries) < 3:
                raise conflict()
            return b"tried"

        def never(_connection: PartConnection, _: Changes) -> bytes:
            raise conflict()

        assert trial_on(shard).run(work) == b"tried"
        assert tries == [Change(table="orders", inserted=1)] * 3
        with pytest.raises(TransactionConflict):
            trial_on(shard, transaction_tries=2).run(never)

    def test_the_transaction_is_the_trial_s_own(self, shard: Shard) -> None:
        """The handler is refused a commit in words, and may use savepoints."""

        def work(connection: PartConnection, _: Changes) -> bytes:
            with pytest.raises(TransactionGuarded, match="belongs to the worker"):
                connection.commit()
            with connection.begin_nested():
                insert_order(connection, 2)
            return b"tried"

        assert trial_on(shard).run(work) == b"tried"
        assert order_numbers(shard) == []

    @pytest.mark.parametrize("by_driver", [False, True])
    @pytest.mark.parametrize("and_then", ["nothing", "write", "mishap", "unique", "missing"])
    def test_a_handler_that_commits_beneath_is_found_out(
        self, shard: Shard, and_then: str, *, by_driver: bool
    ) -> None:
        """Whatever it does after that, or whatever happens to it: what it committed stays, and is told."""

        def work(connection: PartConnection, _: Changes) -> bytes:
            insert_order(connection, 1)
            end_beneath(connection, "COMMIT", by_driver=by_driver)
            if and_then == "write":
                insert_order(connection, 2)
            elif and_then == "mishap":
                raise HandlerMishap
            elif and_then == "unique":
                insert_order(connection, 1)
            elif and_then == "missing":
                connection.exec_driver_sql("SELECT * FROM no_such_table")
            return b"tried"

        with pytest.raises(BrokenTransaction) as error:
            trial_on(shard).run(work)
        assert classify(error.value, shard.dialect).kind is Kind.BROKEN
        assert 1 in order_numbers(shard)

    @pytest.mark.parametrize("by_driver", [False, True])
    def test_a_handler_s_own_rollback_is_found_out(self, shard: Shard, *, by_driver: bool) -> None:
        """As in a part."""

        def work(connection: PartConnection, _: Changes) -> bytes:
            insert_order(connection, 1)
            end_beneath(connection, "ROLLBACK", by_driver=by_driver)
            return b"tried"

        with pytest.raises(BrokenTransaction):
            trial_on(shard).run(work)

    def test_what_core_and_the_orm_change_is_counted(self, shard: Shard) -> None:
        """By table, in the order of the first change; what changes no row is not told."""

        def work(connection: PartConnection) -> None:
            connection.execute(insert(ORDERS), rows(1, 3))
            connection.execute(insert(ORDERS).returning(ORDERS.c.order_no), rows(10, 3)).all()
            connection.execute(insert(ORDERS).values(rows(20, 2)))
            connection.execute(update(ORDERS).where(ORDERS.c.order_no > 9).values(name="table"))
            connection.execute(delete(ORDERS).where(ORDERS.c.order_no == 1))
            with Session(bind=connection, join_transaction_mode="create_savepoint") as session:
                session.add_all([Order(order_no=30, name="a"), Order(order_no=31, name="b")])
                session.commit()

        assert changes_of(shard, work) == [Change(table="orders", inserted=10, updated=5, deleted=1)]
        assert changes_of(shard, lambda connection: connection.execute(delete(ORDERS))) == []

    @pytest.mark.parametrize("count", [3, 60, 2500])
    def test_what_is_inserted_in_bulk_is_counted(self, shard: Shard, count: int) -> None:
        """Whatever way it takes: a few rows, many, several chunks."""
        inserted = changes_of(shard, lambda connection: insert_rows(connection, ORDERS, rows(1, count)))
        replaced = changes_of(
            shard,
            lambda connection: insert_rows(
                connection, ORDERS, rows(1, count), conflict=Conflict("update", ("order_no",))
            ),
        )

        assert inserted == [Change(table="orders", inserted=count)]
        assert replaced == [Change(table="orders", upserted=count)]

    @pytest.mark.parametrize("count", [1, 2, 60])
    def test_a_row_that_takes_the_place_of_another_is_one(self, shard: Shard, count: int) -> None:
        """Whatever the database says of it; beside one that is new."""
        execute(shard, "INSERT INTO orders (order_no) VALUES (1)")

        assert changes_of(shard, lambda connection: replace_orders(connection, count)) == [
            Change(table="orders", upserted=count)
        ]

    def test_what_a_savepoint_took_back_is_not_counted(self, shard: Shard) -> None:
        """Whoever set it, SQLAlchemy or the handler's own statement."""

        def work(connection: PartConnection) -> None:
            insert_order(connection, 1)
            savepoint = connection.begin_nested()
            connection.execute(insert(ORDERS), rows(10, 5))
            savepoint.rollback()
            connection.exec_driver_sql("SAVEPOINT mine")
            connection.execute(text("DELETE FROM orders"))
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT mine")
            connection.execute(text("UPDATE orders SET name = 'table'"))

        assert changes_of(shard, work) == [Change(table="orders", inserted=1, updated=1)]

    def test_beyond_twenty_tables_the_others_are_told_as_one(self, shard: Shard) -> None:
        """So that a result stays small."""

        def work(connection: PartConnection) -> None:
            for number in range(22):
                connection.execute(insert(table(f"things_{number}", column("number"))).values(number=1))

        for number in range(22):
            execute(shard, f"CREATE TABLE things_{number} (number INTEGER)")
        changes = changes_of(shard, work)

        assert [change.table for change in changes] == [*(f"things_{number}" for number in range(20)), None]
        assert changes[-1] == Change(table=None, inserted=2)
