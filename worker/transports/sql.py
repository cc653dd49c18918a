"""The embedded queue: one SQL table on SQLite or PostgreSQL, with leases, receive counts and delays."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import chain
from threading import Event
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    insert,
    inspect,
    select,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from worker.transports.attributes import encode_attributes
from worker.transports.base import Delivery, Depth, Fault, Faults, Message, QueueMissing, TransportError
from worker.transports.limits import (
    BATCH_COUNT_MAXIMUM,
    MESSAGE_BYTES_MAXIMUM,
    RELEASE_DELAY_MAXIMUM,
    WAIT_MAXIMUM,
    message_fault,
)
from worker.transports.pacing import Pause, pauses
from worker.transports.sql_rows import (
    DELETE,
    DEPTH,
    EXTEND,
    LOST,
    RELEASE,
    TAKE,
    VISIBLE,
    Watch,
    delivery_from,
    for_ids,
    lease_faults,
    rows_held,
)
from worker.transports.sql_table import (
    MESSAGES,
    check_database,
    create_table,
    open_engine,
    reading,
    sqlite_path,
)


class SqlTransport:
    """One queue in the table; keeps the `Transport` protocol. Several processes may use it at once.

    A lease is the moment at which the message becomes visible again, and a receipt that is new with each
    receive. Moments come from `clock` (seconds since 1970); `pause` waits between two looks at the table.
    """

    is_ordered = False
    message_bytes_maximum = MESSAGE_BYTES_MAXIMUM
    wait_maximum = WAIT_MAXIMUM
    hold_maximum = timedelta(days=365)

    def __init__(
        self,
        url: URL,
        queue_name: str,
        *,
        clock: Callable[[], float] = time.time,
        pause: Pause = Event.wait,
    ) -> None:
        self.name = queue_name
        self._url = url
        self._clock = clock
        self._pause = pause
        self._closing = Event()
        self._waking = Event()
        self._engine = open_engine(url)
        self._reader = reading(self._engine)

    def receive(self, maximum: int, wait: timedelta, lease: timedelta) -> list[Delivery]:
        """As the protocol says; in the order of arrival, as far as nothing was released or delayed."""
        with self._connected(self._reader) as connection:
            watch = Watch(connection, self.name)
            for pause_seconds in chain([0.0], pauses(wait)):
                if pause_seconds and self._pause(self._waking, pause_seconds):
                    break
                if watch.sees_message(self._clock()) and (taken := self._take(maximum, lease)):
                    return taken
        return []

    def ack(self, batch: Sequence[Delivery]) -> Faults:
        """As the protocol says; a lease that ran out unnoticed by others still counts."""
        with self._connected(self._engine) as connection:
            rows = rows_held(connection, batch)
            faults = {
                position: LOST
                for position, delivery in enumerate(batch)
                if (row := rows.get(int(delivery.message_id))) and row.receipt != delivery.receipt
            }
            for_ids(connection, DELETE, _ids(batch, faults))
        return faults

    def release(self, batch: Sequence[tuple[Delivery, timedelta]]) -> Faults:
        """As the protocol says; a delay above `RELEASE_DELAY_MAXIMUM` becomes that."""
        now = self._clock()
        with self._connected(self._engine) as connection:
            faults = lease_faults(connection, [delivery for delivery, _ in batch], now)
            kept = [entry for position, entry in enumerate(batch) if position not in faults]
            if kept:
                connection.execute(RELEASE, [_released(delivery, delay, now) for delivery, delay in kept])
        return faults

    def extend(self, batch: Sequence[Delivery], lease: timedelta) -> Faults:
        """As the protocol says."""
        now = self._clock()
        with self._connected(self._engine) as connection:
            faults = lease_faults(connection, batch, now)
            for_ids(connection, EXTEND, _ids(batch, faults), until=now + lease.total_seconds())
        return faults

    def send(self, batch: Sequence[Message]) -> Faults:
        """As the protocol says: all that has no fault is committed together."""
        checked = [message_fault(message) for message in batch]
        now = self._clock()
        rows = [
            self._row(message, now) for message, fault in zip(batch, checked, strict=True) if fault is None
        ]
        if rows:
            with self._connected(self._engine) as connection:
                connection.execute(insert(MESSAGES), rows)
        return {position: fault for position, fault in enumerate(checked) if fault is not None}

    def browse(self, maximum: int) -> list[Delivery]:
        """As the protocol says: only read, so nothing is leased or counted."""
        parameters = {"of_queue": self.name, "now": self._clock(), "maximum": maximum}
        with self._connected(self._reader) as connection:
            return [delivery_from(row) for row in connection.execute(VISIBLE, parameters)]

    def depth(self) -> Depth:
        """As the protocol says, exactly."""
        with self._connected(self._reader) as connection:
            return Depth(*connection.execute(DEPTH, {"of_queue": self.name, "now": self._clock()}).one())

    def retention(self) -> None:
        """For ever: the table drops nothing by itself."""

    def create(self) -> bool:
        """Create the table, and on SQLite the file with its directory; whether the table was created."""
        try:
            return create_table(self._url)
        except (SQLAlchemyError, OSError) as error:
            raise TransportError(
                f"queue {self.name}: its table could not be made ({_cause(error)}); "
                "check the path or the server, and the rights there"
            ) from error

    def check(self) -> list[str]:
        """As the protocol says: table missing, wrong journal mode, a clock unlike the database's."""
        try:
            with self._connected(self._reader) as connection:
                connection.execute(select(MESSAGES.c.id).limit(1))
                return check_database(connection, self._clock())
        except TransportError as error:
            return [str(error)]

    def interrupt(self) -> None:
        """As the protocol says."""
        self._waking.set()

    def close(self) -> None:
        """Wakes a receive that waits; it ends with nothing in hand."""
        self._closing.set()
        self._waking.set()
        self._engine.pool.dispose()

    def _take(self, maximum: int, lease: timedelta) -> list[Delivery]:
        now = self._clock()
        parameters = {
            "of_queue": self.name,
            "now": now,
            "maximum": min(maximum, BATCH_COUNT_MAXIMUM),
            "until": now + lease.total_seconds(),
            "new_receipt": uuid4().hex,
        }
        with self._connected(self._engine) as connection:
            rows = connection.execute(TAKE, parameters).all()
        return [delivery_from(row) for row in sorted(rows, key=lambda row: int(row.id))]

    def _row(self, message: Message, now: float) -> dict[str, Any]:
        return {
            "queue": self.name,
            "message_group": message.group,
            "sent_at": now,
            "visible_at": now + message.delay.total_seconds(),
            "receive_count": 0,
            "attributes": encode_attributes(message.attributes),
            "body": message.body,
        }

    @contextmanager
    def _connected(self, engine: Engine) -> Iterator[Connection]:
        if self._closing.is_set():
            raise TransportError(f"queue {self.name}: it was closed, nothing was done")
        try:
            with engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise self._as_transport_error(error) from error
        finally:
            if self._closing.is_set():
                self._engine.pool.dispose()

    def _as_transport_error(self, error: Exception) -> TransportError:
        if self._is_missing():
            return QueueMissing(
                f"queue {self.name}: its table does not exist; `shardworker setup` creates it"
            )
        return TransportError(
            f"queue {self.name}: its database failed ({_cause(error)}); the call has to be repeated"
        )

    def _is_missing(self) -> bool:
        path = sqlite_path(self._url)
        if path is not None and not path.exists():
            return True
        try:
            return not inspect(self._reader).has_table(MESSAGES.name)
        except SQLAlchemyError:
            return False


def _cause(error: Exception) -> str:
    """SQLite's name of the error, else the class alone: a driver's text can hold what was sent."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    return getattr(origin, "sqlite_errorname", type(origin).__name__)


def _released(delivery: Delivery, delay: timedelta, now: float) -> dict[str, Any]:
    return {
        "message": int(delivery.message_id),
        "until": now + min(delay, RELEASE_DELAY_MAXIMUM).total_seconds(),
    }


def _ids(batch: Sequence[Delivery], faults: Mapping[int, Fault]) -> list[int]:
    return [int(delivery.message_id) for position, delivery in enumerate(batch) if position not in faults]
