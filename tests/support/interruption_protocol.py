"""Interruptions, as tests that every database server must pass.

A subclass gives the fixture `shard`: with an inbox, an empty table of orders and no rows; and says in
`sleeping` how long a statement of a minute is spelled there.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from shards.engines import Shard
from shards.failures import Kind, classify
from shards.guard import PartConnection
from shards.interruption import Interrupter
from tests.support.parts import insert_order, order_numbers
from tests.support.writes import execute

PATIENCE_SECONDS = 60.0


class InterruptionProtocol:
    """One thread ends what another one's connection is doing."""

    sleeping: ClassVar[str]

    def test_a_statement_that_runs_is_cancelled(self, shard: Shard) -> None:
        """It ends with an error that says it took too long, and the connection lives."""
        with shard.connect() as connection, interrupted(connection, "cancel"):
            with pytest.raises(DBAPIError) as error:
                connection.execute(text(self.sleeping))
            assert classify(error.value, shard.dialect).kind is Kind.TRANSIENT
            assert not connection.invalidated

    def test_a_cut_connection_leaves_nothing_behind(self, shard: Shard) -> None:
        """What its transaction wrote is rolled back by the server, and its locks are free."""
        with shard.connect() as connection, connection.begin() as transaction:
            insert_order(connection, 1)
            Interrupter(connection).cut()
            with pytest.raises(DBAPIError):
                insert_order(connection, 2)
            transaction.close()
        execute(shard, "INSERT INTO orders (order_no) VALUES (1)")
        assert order_numbers(shard) == [1]

    def test_a_cut_ends_a_wait_for_the_server(self, shard: Shard) -> None:
        """A thread that waits for an answer gets an error at once."""
        with pytest.raises(DBAPIError), shard.connect() as connection, interrupted(connection, "cut"):
            connection.execute(text(self.sleeping))

    def test_where_nothing_runs_nothing_is_hurt(self, shard: Shard) -> None:
        """The connection goes on; one that is closed already is left alone."""
        with shard.connect() as connection:
            interrupter = Interrupter(connection)
            interrupter.cancel()
            assert _answers(connection)
            connection.invalidate()
            interrupter.cancel()
            interrupter.cut()


@contextmanager
def interrupted(connection: PartConnection, how: str) -> Iterator[None]:
    """The connection is interrupted from another thread, again and again until the block ends."""
    interrupter = Interrupter(connection)
    over = threading.Event()

    def interrupt() -> None:
        while not over.wait(0.1):
            getattr(interrupter, how)()

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(PATIENCE_SECONDS)


def _answers(connection: Connection) -> bool:
    # a cancellation that came too late for its own statement may still hit this one
    for _ in range(3):
        try:
            return bool(connection.execute(text("SELECT 1")).scalar_one())
        except DBAPIError:
            connection.rollback()
    return False
