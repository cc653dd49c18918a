"""Placement rows: a customer's own row in its database, which every claim checks, so that a move is safe."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    and_,
    bindparam,
    insert,
    select,
    update,
)

from shards.directory import PlacementState
from shards.inbox import identifier

placement_rows: Final = Table(
    "shardworker_placement",
    MetaData(),
    Column("customer_id", identifier(128), primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
    mariadb_engine="InnoDB",
    mariadb_charset="utf8mb4",
)

_READ: Final = select(placement_rows)
_READ_ONE: Final = _READ.where(placement_rows.c.customer_id == bindparam("of_customer"))
_LOCK_ONE: Final = _READ_ONE.with_for_update()
_CHANGE: Final = update(placement_rows).where(
    placement_rows.c.customer_id == bindparam("of_customer"),
    placement_rows.c.epoch == bindparam("from_epoch"),
    placement_rows.c.state == bindparam("from_state"),
)


class PlacementRow(NamedTuple):
    """What one place says of one customer: only `active` with the directory's epoch lets parts run there."""

    customer_id: str
    epoch: int
    state: PlacementState


def active_row() -> ColumnElement[bool]:
    """The condition of a claim: the customer `:of_customer` is active here with the epoch `:of_epoch`."""
    return and_(
        placement_rows.c.customer_id == bindparam("of_customer", type_=placement_rows.c.customer_id.type),
        placement_rows.c.epoch == bindparam("of_epoch", type_=placement_rows.c.epoch.type),
        placement_rows.c.state == PlacementState.ACTIVE.value,
    )


def read_row(connection: Connection, customer_id: str) -> PlacementRow | None:
    """The customer's row in this place."""
    return _one(connection, customer_id, lock=False)


def lock_row(connection: Connection, customer_id: str) -> PlacementRow | None:
    """The customer's row, locked until the transaction ends.

    Waits for every part that holds the row by its claim; no other part is claimed while it is locked.
    """
    return _one(connection, customer_id, lock=True)


def read_rows(connection: Connection) -> list[PlacementRow]:
    """Every customer's row in this place."""
    return [_to_row(*columns) for columns in connection.execute(_READ)]


def insert_row(connection: Connection, row: PlacementRow) -> None:
    """Write the first row of a customer in this place; an integrity error if there is one."""
    insert_rows(connection, [row])


def insert_rows(connection: Connection, rows: Sequence[PlacementRow]) -> None:
    """Write the first rows of customers in this place; an integrity error if there is one of them."""
    if rows:
        connection.execute(insert(placement_rows), [_to_values(row) for row in rows])


def change_row(connection: Connection, found: PlacementRow, wanted: PlacementRow) -> bool:
    """Change the row from what was found; whether it still was so.

    Waits for parts that hold the row by their claims where the database knows no weaker lock.
    """
    of_found = {
        "of_customer": found.customer_id,
        "from_epoch": found.epoch,
        "from_state": found.state.value,
    }
    return connection.execute(_CHANGE, {**of_found, **_to_values(wanted)}).rowcount == 1


def _one(connection: Connection, customer_id: str, *, lock: bool) -> PlacementRow | None:
    # SQLite's writing transaction holds the whole database already, and its compiler leaves FOR UPDATE out
    statement = _LOCK_ONE if lock else _READ_ONE
    columns = connection.execute(statement, {"of_customer": customer_id}).one_or_none()
    return None if columns is None else _to_row(*columns)


def _to_values(row: PlacementRow) -> dict[str, str | int]:
    return {"customer_id": row.customer_id, "epoch": row.epoch, "state": row.state.value}


def _to_row(customer_id: str, epoch: int, state: str) -> PlacementRow:
    return PlacementRow(customer_id, epoch, PlacementState(state))
