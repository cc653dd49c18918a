"""Builders for tests of parts: shards, identities and stores with short names and fast defaults."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Column, Connection, Integer, MetaData, Table, delete, insert, select, text

from config import settings
from shards.directory import Placement, PlacementState
from shards.engines import Shard
from shards.inbox import PartIdentity, create_inbox
from shards.parts import PartStore
from shards.placement_rows import placement_rows

DIGEST = "d" * 64
OTHER_DIGEST = "e" * 64
ORDERS = Table("orders", MetaData(), Column("order_no", Integer, primary_key=True))
NOW = 1_795_000_000.25


def identity(
    job_id: str = "job-1", *, run: int = 1, digest: str = DIGEST, customer_id: str = "c-1"
) -> PartIdentity:
    """A part of a job of one customer."""
    return PartIdentity(
        job_id=job_id,
        customer_id=customer_id,
        run=run,
        digest=digest,
        part_no=0,
        part_count=1,
        job_type="orders.insert",
        partner_id="acme",
        correlation_id="c0ffee",
    )


class PlacedShard(Shard):
    """A shard whose customers have placement rows: the part stores made on it check them."""


def shard_at(
    url: str,
    *,
    limit: int = 8,
    lock_timeout: float = 5.0,
    statement_timeout: float = 30.0,
) -> Shard:
    """A shard whose time-outs are given in seconds."""
    return Shard("one", section_of(url, limit, lock_timeout, statement_timeout))


def placed_shard_at(url: str, *, lock_timeout: float = 5.0) -> PlacedShard:
    """A shard with the placement row of the customer `c-1`, active with epoch 1."""
    shard = PlacedShard("one", section_of(url, 8, lock_timeout, 30.0))
    with shard.connect() as connection, connection.begin():
        placement_rows.create(connection, checkfirst=True)
        connection.execute(delete(placement_rows))
        connection.execute(insert(placement_rows), {"customer_id": "c-1", "epoch": 1, "state": "active"})
    return shard


def section_of(
    url: str, limit: int, lock_timeout_seconds: float, statement_timeout_seconds: float
) -> settings.Shard:
    """A shard's settings."""
    return settings.Shard(
        url=url,
        limit=limit,
        lock_timeout=timedelta(seconds=lock_timeout_seconds),
        statement_timeout=timedelta(seconds=statement_timeout_seconds),
    )


def sqlite_shard(directory: Path, *, limit: int = 8, lock_timeout: float = 5.0) -> Shard:
    """An SQLite shard with its inbox and a table of orders."""
    shard = shard_at(f"sqlite:///{directory / 'shard.db'}", limit=limit, lock_timeout=lock_timeout)
    create_inbox(shard, None)
    create_orders(shard)
    return shard


def create_orders(shard: Shard) -> None:
    """The customers' table: a key, a name that must be there, an amount that must be positive."""
    with shard.connect() as connection, connection.begin():
        connection.execute(
            text(
                "CREATE TABLE orders (order_no INTEGER PRIMARY KEY, name VARCHAR(10) NOT NULL DEFAULT 'x',"
                " amount INTEGER, CONSTRAINT amount_is_positive CHECK (amount > 0))"
            )
        )


def store_on(
    shard: Shard,
    *,
    schema: str | None = None,
    stop: threading.Event | None = None,
    transaction_tries: int = 5,
    clock: Callable[[], float] = lambda: NOW,
) -> PartStore:
    """A part store for the customer `c-1`; it checks the placement on a `PlacedShard`."""
    return PartStore(
        shard,
        Placement("c-1", shard.name, schema, PlacementState.ACTIVE, 1),
        clock=clock,
        stop=stop or threading.Event(),
        transaction_tries=transaction_tries,
        check_placement=isinstance(shard, PlacedShard),
    )


def insert_order(connection: Connection, order_no: int) -> None:
    """Insert one order."""
    connection.execute(insert(ORDERS), {"order_no": order_no})


def order_work(order_no: int = 1, body: bytes = b'{"inserted":1}') -> Callable[[Connection], bytes]:
    """A handler that inserts one order; a second time it would break the key."""

    def work(connection: Connection) -> bytes:
        insert_order(connection, order_no)
        return body

    return work


def order_numbers(shard: Shard, schema: str | None = None) -> list[int]:
    """The orders that are committed."""
    with shard.connect(schema, reading=True) as connection:
        return list(connection.execute(select(ORDERS.c.order_no).order_by("order_no")).scalars())
