"""Conflicts and faults of the inbox itself, as tests that every database must pass.

A subclass gives the fixture `shard`: with an inbox, an empty table of orders and no rows.
"""

import sqlite3
import threading

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from shards.engines import Shard
from shards.failures import Kind, KnownFailure, classify
from shards.handler_work import ForeignFailure
from shards.inbox import (
    InboxFault,
    check_inbox,
    create_inbox,
    inbox,
)
from shards.parts import find_outcomes
from shards.transaction_tries import RetryInterrupted, TransactionConflict
from tests.support.parts import (
    identity,
    insert_order,
    order_numbers,
    order_work,
    store_on,
)
from tests.support.writes import Write, conflict, every_write, execute


class FaultProtocol:
    """Conflicts are tried again in place; a faulty inbox never fails a part."""

    def test_a_conflict_is_retried_in_place(self, shard: Shard) -> None:
        """The whole transaction is run again: what a try wrote is not there in the next."""
        tries = iter([conflict(), conflict(), None])

        def work(connection: Connection) -> bytes:
            insert_order(connection, 1)
            if error := next(tries):
                raise error
            return b"{}"

        assert store_on(shard, transaction_tries=3).run(identity(), work).state == "succeeded"
        assert order_numbers(shard) == [1]

    def test_conflicts_that_go_on_are_a_transient_failure(self, shard: Shard) -> None:
        """After the last try it is told so, with the last conflict as its cause."""
        calls: list[int] = []

        def work(_: Connection) -> bytes:
            calls.append(1)
            raise conflict()

        with pytest.raises(TransactionConflict) as error:
            store_on(shard, transaction_tries=3).run(identity(), work)

        failure = classify(error.value, shard.dialect)
        assert (failure.kind, failure.code, len(calls)) == (Kind.TRANSIENT, "transaction_conflict", 3)
        assert isinstance(error.value.__cause__, KnownFailure)

    def test_a_stop_ends_the_retries_without_counting_anything(self, shard: Shard) -> None:
        """A worker that is told to stop does not wait for the next try."""
        stop = threading.Event()

        def work(_: Connection) -> bytes:
            stop.set()
            raise conflict()

        with pytest.raises(RetryInterrupted) as error:
            store_on(shard, stop=stop, transaction_tries=20).run(identity(), work)

        failure = classify(error.value, shard.dialect)
        assert (failure.kind, failure.code) == (Kind.BUSY, "shutdown")

    def test_an_error_of_another_database_does_not_make_the_shard_look_away(self, shard: Shard) -> None:
        """What a handler asks elsewhere may be away or busy: that counts against its part, not the shard."""
        elsewhere = create_engine("sqlite:////nowhere/at/all.db")

        def work(connection: Connection) -> bytes:
            insert_order(connection, 1)
            elsewhere.connect()
            return b"{}"

        with pytest.raises((ForeignFailure, OperationalError)) as error:
            store_on(shard).run(identity(), work)

        failure = classify(error.value, shard.dialect)
        assert (failure.kind, failure.code) == (Kind.TRANSIENT, "handler_error")
        assert order_numbers(shard) == []

    def test_a_driver_s_own_error_of_another_database_does_not_either(self, shard: Shard) -> None:
        """A handler may go there without SQLAlchemy: the error that comes then holds no other."""

        def work(connection: Connection) -> bytes:
            insert_order(connection, 1)
            sqlite3.connect("/nowhere/at/all.db")
            return b"{}"

        with pytest.raises((ForeignFailure, sqlite3.OperationalError)) as error:
            store_on(shard).run(identity(), work)

        assert classify(error.value, shard.dialect).kind is Kind.TRANSIENT
        assert order_numbers(shard) == []

    @every_write
    def test_a_missing_inbox_is_a_shard_that_is_away(self, shard: Shard, write: Write) -> None:
        """A fault of the table itself never fails a part; the message says what the operator does."""
        execute(shard, "DROP TABLE shardworker_inbox")
        with pytest.raises(InboxFault, match="shardworker shards migrate") as error:
            write(store_on(shard), identity())

        failure = classify(error.value, shard.dialect)
        assert (failure.kind, failure.code) == (Kind.AWAY, "shard_away")

    def test_an_inbox_without_a_column_is_told_and_is_a_fault(self, shard: Shard) -> None:
        """An older table is not written in part."""
        execute(shard, "ALTER TABLE shardworker_inbox DROP COLUMN starts")

        assert check_inbox(shard, None) == [
            (
                "Shard 'one': the table shardworker_inbox has no column starts. Compare it with "
                f"`shardworker shards migrate --sql --dialect {shard.dialect}`."
            )
        ]
        with pytest.raises(InboxFault):
            store_on(shard).run(identity(), order_work())
        with pytest.raises(InboxFault):
            find_outcomes(shard, None, "job-1", ["c-1"])
        assert order_numbers(shard) == []

    def test_an_inbox_without_the_outcome_s_column_never_counts_against_a_part(self, shard: Shard) -> None:
        """Found after the work, where it might be the handler's fault: what would count it finds it out."""
        execute(shard, "ALTER TABLE shardworker_inbox DROP COLUMN outcome")
        store = store_on(shard)
        with pytest.raises(SQLAlchemyError) as error:
            store.run(identity(), order_work())
        assert classify(error.value, shard.dialect).kind is Kind.DEFECT

        with pytest.raises(InboxFault):
            store.fail(identity(), b"failed", dead_letter=False)
        assert order_numbers(shard) == []

    def test_the_inbox_is_created_once_and_checked(self, shard: Shard) -> None:
        """Creating it tells whether it, or its index, was missing."""
        execute(shard, "DROP TABLE shardworker_inbox")
        assert check_inbox(shard, None) == [
            "Shard 'one' has no table shardworker_inbox. Run `shardworker shards migrate`."
        ]

        assert [create_inbox(shard, None), create_inbox(shard, None)] == [True, False]
        with shard.connect() as connection, connection.begin():
            next(iter(inbox.indexes)).drop(connection)
        (wrong,) = check_inbox(shard, None)
        assert "has no index shardworker_inbox_created_at" in wrong
        assert create_inbox(shard, None)
        assert check_inbox(shard, None) == []
