"""Time limits: whatever a handler does, its time ends, and what it wrote by then is rolled back."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from shards.engines import Shard
from shards.failures import Kind, KnownFailure, classify
from shards.guard import OutOfTime, PartConnection
from tests.support.fakes import ManualTime
from tests.support.parts import identity, insert_order, order_numbers, sqlite_shard, store_on
from worker.time_limits import TimeLimits

GRACE_SECONDS = 30.0
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
PATIENCE_SECONDS = 60.0

Work = Callable[[Connection], bytes]


class Desk:
    """Limits under a clock that is set by hand, and a handler's thread."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.time = ManualTime()
        self.given_up: list[int] = []
        self.limits = TimeLimits(self.time.clock.monotonic)
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.threads = ThreadPoolExecutor(1)

    def work(self, connection: Connection) -> bytes:
        """Insert, say so, and go on when told to."""
        insert_order(connection, 1)
        self.begun.set()
        assert self.go_on.wait(PATIENCE_SECONDS)
        return b"{}"

    def start(self, work: Work | None = None) -> "Future[object]":
        """Run a part on the other thread, with ten seconds for its handler; wait until it has begun."""
        chosen = work or self.work

        def limited(connection: Connection) -> bytes:
            assert isinstance(connection, PartConnection)
            with self.limits.within(10, GRACE_SECONDS, connection):
                return chosen(connection)

        future: Future[object] = self.threads.submit(lambda: store_on(self.shard).run(identity(), limited))
        assert self.begun.wait(PATIENCE_SECONDS)
        return future

    def look(self, at_seconds: float) -> None:
        """Look, so long after the beginning."""
        self.time.seconds = 1000.0 + at_seconds
        self.limits.look(self.given_up.append)


@pytest.fixture(name="desk")
def make_desk(tmp_path: Path) -> Iterator[Desk]:
    shard = sqlite_shard(tmp_path)
    desk = Desk(shard)
    yield desk
    desk.go_on.set()
    desk.threads.shutdown()
    shard.close()


def test_a_handler_in_time_is_left_alone(desk: Desk) -> None:
    """A moment before its time is up it ends, and what it wrote is committed."""
    future = desk.start()
    desk.look(at_seconds=9.9)
    desk.go_on.set()
    future.result(PATIENCE_SECONDS)
    desk.look(at_seconds=1000)
    assert order_numbers(desk.shard) == [1]
    assert desk.given_up == []


def test_a_handler_that_ends_late_has_written_nothing(desk: Desk) -> None:
    """Its time was up: it is rolled back, as a failure that may pass, though the handler came to its end."""
    future = desk.start()
    desk.look(at_seconds=10)
    desk.go_on.set()
    error = future.exception(PATIENCE_SECONDS)
    assert isinstance(error, OutOfTime)
    failure = classify(error, "sqlite")
    assert (failure.kind, failure.code) == (Kind.TRANSIENT, "part_timeout")
    assert order_numbers(desk.shard) == []


def test_the_statement_that_runs_is_cancelled(desk: Desk) -> None:
    """A statement without an end ends."""

    def query(connection: Connection) -> bytes:
        desk.begun.set()
        connection.execute(text(ENDLESS))
        return b"{}"

    future = desk.start(query)
    while not future.done():
        desk.look(at_seconds=10)
    assert isinstance(future.exception(), OutOfTime)


def test_a_handler_that_goes_on_after_its_statement_was_cancelled_is_late_all_the_same(desk: Desk) -> None:
    """Swallowing the error, or making another one of it, changes nothing."""

    def stubborn(connection: Connection) -> bytes:
        desk.begun.set()
        with pytest.raises(DBAPIError):
            connection.execute(text(ENDLESS))
        raise RuntimeError

    future = desk.start(stubborn)
    while not future.done():
        desk.look(at_seconds=10)
    assert isinstance(future.exception(), OutOfTime)


def test_what_a_handler_writes_after_its_statement_was_cancelled_is_not_there(desk: Desk) -> None:
    """SQLite has ended the transaction by itself: an INSERT would be committed at once."""

    def stubborn(connection: Connection) -> bytes:
        desk.begun.set()
        with pytest.raises(DBAPIError):
            connection.execute(text(f"INSERT INTO orders (order_no) {ENDLESS}"))
        with suppress(KnownFailure):
            insert_order(connection, 2)
        return b"{}"

    future = desk.start(stubborn)
    while not future.done():
        desk.look(at_seconds=10)
    assert isinstance(future.exception(), OutOfTime)
    assert order_numbers(desk.shard) == []


def test_a_thread_that_does_not_come_back_is_given_up_once(desk: Desk) -> None:
    """Not before its grace is over; then it is told, and nothing more is done about it."""
    future = desk.start()
    desk.look(at_seconds=10 + GRACE_SECONDS - 0.1)
    assert desk.given_up == []
    desk.look(at_seconds=10 + GRACE_SECONDS)
    desk.look(at_seconds=10 + 2 * GRACE_SECONDS)
    assert len(desk.given_up) == 1
    desk.go_on.set()
    assert isinstance(future.exception(PATIENCE_SECONDS), OutOfTime)
    assert order_numbers(desk.shard) == []


def test_the_same_part_can_run_again_after_that(desk: Desk) -> None:
    """The connection is closed and the row is free."""
    future = desk.start()
    desk.look(at_seconds=10)
    desk.go_on.set()
    assert isinstance(future.exception(PATIENCE_SECONDS), OutOfTime)
    desk.time.seconds = 1000.0
    assert desk.start().result(PATIENCE_SECONDS)
    assert order_numbers(desk.shard) == [1]
