"""The embedded queue's own promises, beyond those of every transport."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from tests.support.queue_backends import ShiftedClock
from tests.support.receiving import LEASE, bodies, send_bodies, take, take_all
from worker.transports.addresses import sqlite_url
from worker.transports.base import Message, QueueMissing, TransportError
from worker.transports.sql import SqlTransport

SECRET = "s3cret-body"


class Idle:
    """A pause that takes no time but the clock's, and counts."""

    def __init__(self, clock: ShiftedClock) -> None:
        self.count = 0
        self._clock = clock

    def __call__(self, event: Event, seconds: float, /) -> bool:
        """Let the clock run."""
        self.count += 1
        self._clock.pass_time(seconds)
        return event.is_set()


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
def idle(clock: ShiftedClock) -> Idle:
    return Idle(clock)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "queues?.db"


@pytest.fixture
def queue(file: Path, clock: ShiftedClock, idle: Idle) -> Iterator[SqlTransport]:
    transport = SqlTransport(sqlite_url(str(file)), "requests", clock=clock, pause=idle)
    transport.create()
    yield transport
    transport.close()


def test_messages_come_in_the_order_of_their_arrival(queue: SqlTransport) -> None:
    """As long as none was delayed or released."""
    sent = [f"message {number:02}" for number in range(25)]
    send_bodies(queue, *sent)
    assert [delivery.body for delivery in take_all(queue, 25)] == sent


def test_a_released_message_does_not_push_ahead_of_the_others(queue: SqlTransport) -> None:
    """It queues up where it becomes visible, so one that always fails starves nobody."""
    send_bodies(queue, "failing", "waiting")
    (failing,) = take(queue, maximum=1)
    queue.release([(failing, timedelta())])
    assert [delivery.body for delivery in take(queue, maximum=1)] == ["waiting"]


def test_an_ack_with_an_old_receipt_is_told_as_lost(queue: SqlTransport, clock: ShiftedClock) -> None:
    """The message has a new holder, who will ack it."""
    send_bodies(queue, "a")
    old = take(queue, lease=timedelta(seconds=1))
    clock.pass_time(2)
    take(queue)
    faults = queue.ack(old)
    assert [fault.lost for fault in faults.values()] == [True]


def test_a_released_message_cannot_be_acked(queue: SqlTransport) -> None:
    """Its receipt ended with the release."""
    send_bodies(queue, "a")
    deliveries = take(queue)
    queue.release([(deliveries[0], timedelta(seconds=60))])
    assert [fault.lost for fault in queue.ack(deliveries).values()] == [True]
    assert queue.depth().delayed == 1


def test_browsing_does_not_count_as_a_receive(queue: SqlTransport) -> None:
    """Here a look changes nothing at all."""
    send_bodies(queue, "a")
    queue.browse(10)
    assert [delivery.receive_count for delivery in take(queue)] == [1]


def test_check_tells_a_file_whose_journal_mode_is_not_wal(queue: SqlTransport, file: Path) -> None:
    """`create` makes the directory and a file in WAL mode, where readers and one writer work at once."""
    assert queue.check() == []
    queue.close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    other = SqlTransport(sqlite_url(str(file)), "requests")
    (sentence,) = other.check()
    assert "expected 'wal'" in sentence
    other.close()


def test_of_many_that_create_at_once_one_does(file: Path) -> None:
    """The others find the queue there; none fails."""

    def create(_: int) -> bool:
        with closing(SqlTransport(sqlite_url(str(file)), "requests")) as transport:
            return transport.create()

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(create, range(6))) == [False] * 5 + [True]


def test_a_file_that_vanished_is_a_missing_queue_and_is_not_made_anew(
    queue: SqlTransport, file: Path
) -> None:
    """Only `create` makes files: a worker with a wrong path must not work on an empty queue."""
    queue.close()
    for part in file.parent.iterdir():
        part.unlink()
    other = SqlTransport(sqlite_url(str(file)), "requests")
    with pytest.raises(QueueMissing):
        take(other)
    assert list(file.parent.iterdir()) == []
    other.close()


def test_a_file_that_is_no_database_fails_the_call(file: Path) -> None:
    """The error names its cause, and holds nothing of the messages."""
    file.parent.mkdir()
    file.write_text("this is no database, " * 100)
    broken = SqlTransport(sqlite_url(str(file)), "requests")
    with pytest.raises(TransportError, match="SQLITE_NOTADB") as raised:
        broken.send([Message(SECRET)])
    assert SECRET not in f"{raised.value} {raised.value.__cause__}"
    assert not isinstance(raised.value, QueueMissing)
    broken.close()


def test_creating_where_no_directory_can_be_fails_the_call(tmp_path: Path) -> None:
    """A path that goes through a file is a fault like any other of the queue's."""
    (tmp_path / "file").touch()
    queue = SqlTransport(sqlite_url(str(tmp_path / "file" / "queues.db")), "requests")
    with pytest.raises(TransportError, match=r"NotADirectoryError|FileExistsError") as raised:
        queue.create()
    assert not isinstance(raised.value, QueueMissing)


def test_calls_after_closing_fail(queue: SqlTransport) -> None:
    """Nothing is done on a closed queue."""
    queue.close()
    with pytest.raises(TransportError, match="closed"):
        queue.send([Message("a")])


def test_an_idle_receive_looks_seldom(queue: SqlTransport, idle: Idle) -> None:
    """A wait of 20 s costs little more than a hundred looks at the file's change counter."""
    assert queue.receive(10, timedelta(seconds=20), LEASE) == []
    assert 90 < idle.count < 130


def test_a_receive_that_waits_sees_what_becomes_visible_by_time_alone(
    queue: SqlTransport, clock: ShiftedClock
) -> None:
    """Nothing changes in the file when a delay ends."""
    queue.send([Message("later", delay=timedelta(seconds=10))])
    started = clock()
    assert bodies(queue.receive(10, timedelta(seconds=20), LEASE)) == ["later"]
    assert 9.9 < clock() - started < 11


def test_a_batch_of_thousands_is_one_transaction(queue: SqlTransport) -> None:
    """Numbers beyond a database's limit of parameters are no matter."""
    send_bodies(queue, *(str(number) for number in range(2000)))
    deliveries = take_all(queue, 2000)
    assert queue.extend(deliveries, LEASE) == {}
    assert queue.ack(deliveries) == {}
    assert sum(queue.depth()) == 0
