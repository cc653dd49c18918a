"""Builders for tests of the daemon's core: jobs, deliveries of them, settings with SQLite shards."""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from config.settings import Settings
from config.symfony import Symfony
from shards.directory import Placement, PlacementState
from shards.engines import Shards
from shards.inbox import create_inbox
from tests.support.fakes import NOON, delivery_of
from tests.support.memory_queue import MemoryPlace, MemoryTransport
from worker.envelope import Envelope, open_envelope
from worker.held import Held
from worker.transports.base import Attribute

CUSTOMERS = ("c-1", "c-2", "c-3")


def job_fields(**fields: Any) -> dict[str, Any]:
    """A job of the partner `acme`, for the customer `c-1` unless the fields say otherwise."""
    return {
        "job_id": "job-1",
        "type": "orders.insert",
        "partner_id": "acme",
        "customers": ["c-1"],
        "payload": {"order_no": 1},
        **fields,
    }


def held_of(
    body: str | Mapping[str, Any],
    *,
    source: MemoryTransport | None = None,
    message_id: str = "message-1",
    header: Mapping[str, Any] | None = None,
    attributes: Mapping[str, Attribute] | None = None,
    receive_count: int = 1,
    sent_at: datetime = NOON,
    received_at: datetime = NOON,
) -> Held:
    """A delivery in hand; `header` is our own attribute's content."""
    text = body if isinstance(body, str) else json.dumps(body)
    own = {} if header is None else {"Shardworker": Attribute("String", json.dumps(header))}
    delivery = delivery_of(
        text,
        message_id=message_id,
        attributes={**own, **(attributes or {})},
        receive_count=receive_count,
        sent_at=sent_at,
    )
    source = source or MemoryTransport(MemoryPlace(), "requests")
    return Held(delivery, source, received_at, 1000.0, 1060.0)


def envelope_of(held: Held, symfony: Symfony | None = None) -> Envelope:
    """The delivery decoded."""
    return open_envelope(held.delivery.body, held, symfony or Symfony())


def placement_of(
    customer_id: str, shard: str = "eu1", state: PlacementState = PlacementState.ACTIVE
) -> Placement:
    """Where a customer lives."""
    return Placement(customer_id, shard, None, state, 1)


def settings_in(directory: Path, /, shard_names: tuple[str, ...] = ("eu1",), **sections: Any) -> Settings:
    """Settings with SQLite shards in the directory; other sections as given."""
    shards = {
        name: {"url": f"sqlite:///{directory / name}.db", "lock_timeout": "50ms"} for name in shard_names
    }
    queues = {name: f"sql://{directory}/queues.db?queue={name}" for name in ("response", "failure")}
    requests = [f"sql://{directory}/queues.db?queue=requests"]
    return Settings.model_validate({"queues": {"request": requests, **queues}, "shards": shards, **sections})


def create_shards(settings: Settings, directory: Path) -> Shards:
    """The shards of `settings_in`, each with an inbox and a table of orders."""
    shards = Shards(settings.shards)
    for name in shards.names:
        create_inbox(shards.get(name), None)
        with closing(sqlite3.connect(directory / f"{name}.db")) as connection:
            connection.execute("CREATE TABLE orders (order_no INTEGER PRIMARY KEY)")
    return shards


def inbox_rows(directory: Path, shard: str = "eu1") -> list[dict[str, Any]]:
    """The inbox of a shard."""
    with closing(sqlite3.connect(directory / f"{shard}.db")) as connection:
        connection.row_factory = sqlite3.Row
        rows = connection.execute("SELECT * FROM shardworker_inbox ORDER BY job_id, part_no")
        return [dict(row) for row in rows]


def orders(directory: Path, shard: str = "eu1") -> list[int]:
    """The orders of a shard."""
    with closing(sqlite3.connect(directory / f"{shard}.db")) as connection:
        return [row[0] for row in connection.execute("SELECT order_no FROM orders ORDER BY 1")]
