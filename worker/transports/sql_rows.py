"""The embedded queue's statements: what is visible, who holds what, and the deliveries made of rows."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Delete, Row, Update, bindparam, case, delete, func, select, update

from worker.transports.attributes import decode_attributes
from worker.transports.base import Delivery, Fault, Faults
from worker.transports.sql_table import MESSAGES

IDS_PER_STATEMENT: Final = 500
LOST: Final = Fault(
    "LeaseLost", "the lease ran out or the message is gone: another worker may have it", lost=True
)

# Built once: building a statement costs more than executing it.
_OF_QUEUE: Final = MESSAGES.c.queue == bindparam("of_queue")
_HIDDEN: Final = MESSAGES.c.visible_at > bindparam("now")
_LEASED: Final = MESSAGES.c.receipt.is_not(None)
_IN_IDS: Final = MESSAGES.c.id.in_(bindparam("ids", expanding=True))
_LONGEST_WAITING: Final = (MESSAGES.c.visible_at, MESSAGES.c.id)

VISIBLE: Final = (
    select(MESSAGES).where(_OF_QUEUE, ~_HIDDEN).order_by(*_LONGEST_WAITING).limit(bindparam("maximum"))
)
_TAKEN: Final = VISIBLE.with_only_columns(MESSAGES.c.id).with_for_update(skip_locked=True).cte("taken")
TAKE: Final = (
    update(MESSAGES)
    .where(MESSAGES.c.id.in_(select(_TAKEN.c.id)))
    .values(
        visible_at=bindparam("until"),
        receipt=bindparam("new_receipt"),
        receive_count=MESSAGES.c.receive_count + 1,
    )
    .returning(MESSAGES)
)
NEXT_VISIBLE: Final = select(func.min(MESSAGES.c.visible_at)).where(_OF_QUEUE)
HELD: Final = (
    select(MESSAGES.c.id, MESSAGES.c.receipt, MESSAGES.c.visible_at)
    .where(_IN_IDS)
    .order_by(MESSAGES.c.id)
    .with_for_update()
)
DELETE: Final = delete(MESSAGES).where(_IN_IDS)
EXTEND: Final = update(MESSAGES).where(_IN_IDS).values(visible_at=bindparam("until"))
RELEASE: Final = (
    update(MESSAGES)
    .where(MESSAGES.c.id == bindparam("message"))
    .values(visible_at=bindparam("until"), receipt=None)
)
DEPTH: Final = select(
    func.count(case((~_HIDDEN, 1))),
    func.count(case((_HIDDEN & _LEASED, 1))),
    func.count(case((_HIDDEN & ~_LEASED, 1))),
).where(_OF_QUEUE)


class Watch:
    """Tells cheaply whether a message may be visible: SQLite's table is read only after its file changed."""

    def __init__(self, connection: Connection, queue_name: str) -> None:
        self._connection = connection
        self._queue_name = queue_name
        self._version: int | None = None
        self._next_visible_at: float | None = None

    def sees_message(self, now: float) -> bool:
        """Whether a message was visible at `now`; another receive may take it before us."""
        if self._is_changed():
            self._next_visible_at = self._connection.scalar(NEXT_VISIBLE, {"of_queue": self._queue_name})
        return self._next_visible_at is not None and self._next_visible_at <= now

    def _is_changed(self) -> bool:
        if self._connection.dialect.name != "sqlite":
            return True
        before = self._version
        # straight to the driver: an idle worker does this five times a second
        driver: Any = self._connection.connection.driver_connection
        (self._version,) = driver.execute("PRAGMA data_version").fetchone()
        return self._version != before


def rows_held(connection: Connection, batch: Sequence[Delivery]) -> dict[int, Row[Any]]:
    """The rows of the deliveries by id, locked in the order of their ids, so that no two callers deadlock."""
    rows: dict[int, Row[Any]] = {}
    ids = sorted(int(delivery.message_id) for delivery in batch)
    for start in range(0, len(ids), IDS_PER_STATEMENT):
        held = connection.execute(HELD, {"ids": ids[start : start + IDS_PER_STATEMENT]})
        rows.update({row.id: row for row in held})
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


def for_ids(connection: Connection, statement: Update | Delete, ids: Sequence[int], **values: Any) -> None:
    """Execute the statement on the messages with these ids, in several parts where they are many."""
    for start in range(0, len(ids), IDS_PER_STATEMENT):
        connection.execute(statement, {"ids": ids[start : start + IDS_PER_STATEMENT], **values})


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
