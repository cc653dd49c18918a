"""Claims of several parts at once: one statement takes all their rows, another one ends them all."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
from sqlalchemy import (
    JSON,
    BindParameter,
    Insert,
    String,
    Update,
    and_,
    bindparam,
    case,
    cast,
    column,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.selectable import TableValuedAlias

from config.points import passed
from shards.claims import inbox_faults, new_row
from shards.dialects import CLAIM_COLUMNS, same_transaction
from shards.directory import Placement, PlacementState
from shards.guard import PartConnection
from shards.inbox import BrokenTransaction, InboxState, PartIdentity, PlacementStale, inbox, to_microseconds
from shards.placement_rows import placement_rows
from shards.ready import execute_ready

PARTS_REMEMBERED: Final = 64

_LOCK_PLACEMENTS: Final = (
    select(placement_rows.c.customer_id, placement_rows.c.epoch)
    .where(
        placement_rows.c.customer_id.in_(bindparam("of_customers", expanding=True)),
        placement_rows.c.state == PlacementState.ACTIVE.value,
    )
    .order_by(placement_rows.c.customer_id)
    .with_for_update(read=True, key_share=True)
)


class NotAllNew(Exception):
    """One of the parts has a row already: what that says, its own claim finds out."""


def lock_placements(connection: PartConnection, placements: Sequence[Placement]) -> None:
    """Hold these customers where they are until the transaction ends; raises `PlacementStale`."""
    wanted = {(placement.customer_id, placement.epoch) for placement in placements}
    customer_ids = sorted({customer_id for customer_id, _ in wanted})
    with inbox_faults(connection.dialect.name):
        rows = connection.execute(_LOCK_PLACEMENTS, {"of_customers": customer_ids}).all()
    if {(row.customer_id, row.epoch) for row in rows} != wanted:
        raise PlacementStale("One of the customers is not active here: each part finds out by itself.")


def claim_all(connection: PartConnection, identities: Sequence[PartIdentity], now: float) -> None:
    """Take the rows of parts of which none came before, in their order; one statement.

    Raises:
        NotAllNew, IntegrityError: one of them came before.
        InboxFault: a fault of the table itself.
    """
    rows = [new_row(identity, now) for identity in identities]
    with inbox_faults(connection.dialect.name):
        if connection.dialect.name == "postgresql":
            claimed = execute_ready(connection, _CLAIM_AS_JSON, {"of_rows": _as_json(rows)})
        else:
            statement = _claim_of(connection.dialect.name, len(rows))
            claimed = execute_ready(connection, statement, _numbered(rows, CLAIM_COLUMNS))
    if claimed != len(rows):
        raise NotAllNew
    passed("after_claim")


def end_all(connection: PartConnection, bodies: Mapping[PartIdentity, bytes], now: float) -> None:
    """Write the outcomes of claimed parts that succeeded; one statement.

    Raises:
        BrokenTransaction: the transaction that claimed the rows was ended meanwhile.
    """
    ends = [
        {"job_id": identity.job_id, "customer_id": identity.customer_id, "outcome": body}
        for identity, body in bodies.items()
    ]
    finished = {"of_end": to_microseconds(now)}
    if connection.dialect.name == "postgresql":
        ended = execute_ready(connection, _END_AS_JSON, {"of_rows": _as_json(ends), **finished})
    else:
        numbered = _numbered(ends, ("job_id", "customer_id", "outcome"))
        ended = execute_ready(connection, _end_of(len(ends)), {**numbered, **finished})
    if ended != len(ends):
        raise BrokenTransaction


def _as_json(rows: Sequence[Mapping[str, Any]]) -> str:
    # one value in place of hundreds: quoting them costs more than all the rest of the statement
    return msgspec.json.encode(rows).decode()


def _rows_of_json(*columns: Any) -> TableValuedAlias:
    rows = cast(bindparam("of_rows", type_=String), JSON)
    return func.json_to_recordset(rows).table_valued(*columns).render_derived(with_types=True)


def _claim_as_json() -> Insert:
    columns = [column(name, inbox.c[name].type) for name in CLAIM_COLUMNS]
    rows = select(*columns).select_from(_rows_of_json(*columns))
    statement = postgresql.insert(inbox).from_select(CLAIM_COLUMNS, rows, include_defaults=False)
    return statement.on_conflict_do_nothing()


def _end_as_json() -> Update:
    rows = _rows_of_json(column("job_id", String), column("customer_id", String), column("outcome", String))
    return (
        update(inbox)
        .values(**_succeeded(func.decode(rows.c.outcome, "base64")))
        .where(
            inbox.c.job_id == rows.c.job_id,
            inbox.c.customer_id == rows.c.customer_id,
            inbox.c.state == InboxState.CLAIMED.value,
            same_transaction("postgresql"),
        )
    )


@lru_cache(PARTS_REMEMBERED)
def _claim_of(dialect: str, count: int) -> Insert:
    rows = [{name: _bind(name, number) for name in CLAIM_COLUMNS} for number in range(count)]
    if dialect == "sqlite":
        return sqlite.insert(inbox).values(rows).on_conflict_do_nothing()
    return insert(inbox).values(rows)


@lru_cache(PARTS_REMEMBERED)
def _end_of(count: int) -> Update:
    keys = [
        and_(inbox.c.job_id == _bind("job_id", number), inbox.c.customer_id == _bind("customer_id", number))
        for number in range(count)
    ]
    outcome = case(*((key, _bind("outcome", number)) for number, key in enumerate(keys)))
    return (
        update(inbox)
        .values(**_succeeded(outcome))
        .where(or_(*keys), inbox.c.state == InboxState.CLAIMED.value)
    )


def _succeeded(outcome: Any) -> dict[str, Any]:
    finished = bindparam("of_end", type_=inbox.c.finished_at.type)
    return {"state": InboxState.SUCCEEDED.value, "outcome": outcome, "finished_at": finished}


def _bind(name: str, number: int) -> BindParameter[Any]:
    return bindparam(f"{name}_{number}", type_=inbox.c[name].type)


def _numbered(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    return {f"{name}_{number}": row[name] for number, row in enumerate(rows) for name in names}


_CLAIM_AS_JSON: Final = _claim_as_json()
_END_AS_JSON: Final = _end_as_json()
