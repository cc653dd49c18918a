"""The embedded queue's rows: which are visible, who holds them, and the deliveries made of them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Delete, Row, Select, Table, Update, func, select

from worker.transports.attributes import decode_attributes
from worker.transports.base import Delivery, Fault, Faults
from worker.transports.sql_table import MESSAGES

IDS_PER_STATEMENT: Final = 500
LOST: Final = Fault(
    "LeaseLost", "the lease ran out or the message is gone: another worker may have it", lost=True
)


class Watch:
    """Tells cheaply whether a message may be visible: SQLite's table is read only after its file changed."""

    def __init__(self, connection: Connection, queue_name: str) -> None:
        self._connection = connection
        self._next = select(func.min(MESSAGES.c.visible_at)).where(MESSAGES.c.queue == queue_name)
        self._version: int | None = None
        self._next_visible_at: float | None = None

    def sees_message(self, now: float) -> bool:
        """Whether a message was visible at `now`; another receive may take it before us."""
        if self._is_changed():
            self._next_visible_at = self._connection.scalar(self._next)
        return self._next_visible_at is not None and self._next_visible_at <= now

    def _is_changed(self) -> bool:
        if self._connection.dialect.name != "sqlite":
            return True
        before = self._version
        self._version = self._connection.exec_driver_sql("PRAGMA data_version").scalar_one()
        return self._version != before


def visible(queue_name: str, now: float, maximum: int, *columns: Table | ColumnElement[Any]) -> Select[Any]:
    """The query for the messages that a receive would take, those first that have waited longest."""
    return (
        select(*columns)
        .where(MESSAGES.c.queue == queue_name, MESSAGES.c.visible_at <= now)
        .order_by(MESSAGES.c.visible_at, MESSAGES.c.id)
        .limit(maximum)
    )


def rows_held(connection: Connection, batch: Sequence[Delivery]) -> dict[int, Row[Any]]:
    """The rows of the deliveries by id, locked in the order of their ids, so that no two callers deadlock."""
    rows: dict[int, Row[Any]] = {}
    ids = sorted(int(delivery.message_id) for delivery in batch)
    for start in range(0, len(ids), IDS_PER_STATEMENT):
        query = (
            select(MESSAGES.c.id, MESSAGES.c.receipt, MESSAGES.c.visible_at)
            .where(MESSAGES.c.id.in_(ids[start : start + IDS_PER_STATEMENT]))
            .order_by(MESSAGES.c.id)
            .with_for_update()
        )
        rows.update({row.id: row for row in connection.execute(query)})
    return rows


def lease_faults(connection: Connection, batch: Sequence[Delivery], now: float) -> Faults:
    """A fault for each delivery whose lease is not held any more."""
    rows = rows_held(connection, batch)
    return {
        position: LOST
        for position, delivery in enumerate(batch)
        if not _is_held(rows.get(int(delivery.message_id)), delivery, now)
    }


def _is_held(row: Row[Any] | None, delivery: Delivery, now: float) -> bool:
    return row is not None and row.receipt == delivery.receipt and row.visible_at > now


def for_ids(connection: Connection, statement: Update | Delete, ids: Sequence[int]) -> None:
    """Execute the statement on the messages with these ids, in several parts where they are many."""
    for start in range(0, len(ids), IDS_PER_STATEMENT):
        connection.execute(statement.where(MESSAGES.c.id.in_(ids[start : start + IDS_PER_STATEMENT])))


def delivery_from(row: Row[Any]) -> Delivery:
    """The delivery that a whole row stands for."""
    return Delivery(
        message_id=str(row.id),
        receipt=row.receipt or "",
        body=row.body,
        attributes=decode_attributes(row.attributes),
        receive_count=row.receive_count,
        sent_at=datetime.fromtimestamp(row.sent_at, UTC),
        group=row.message_group,
    )
