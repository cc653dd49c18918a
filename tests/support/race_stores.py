"""Workers as a database sees them: connections, part stores and executors that share nothing else."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import Connection, text

from config.settings import Shard as ShardSection
from handlers.contract import PartContext, handles
from handlers.registry import handler_specs
from shards.engines import Shards
from shards.parts import PartStore
from tests.support.crash_databases import Databases
from tests.support.fakes import ManualTime
from tests.support.jobs import envelope_of, held_of, job_fields, placement_of, settings_in
from tests.support.parts import store_on
from worker.executor import Executor
from worker.job_in_hand import JobInHand, Part
from worker.routing import part_identities
from worker.time_limits import TimeLimits

SHARD = "a"
INSERT = text("INSERT INTO orders (order_no, customer_id) VALUES (:order_no, 'c-1')")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class RaceWorker:
    """One of several workers: its own connections, and an executor of its own."""

    number: int
    shards: Shards
    store: PartStore
    executor: Executor


@contextmanager
def race_workers(
    directory: Path,
    databases: Databases,
    count: int,
    lock_timeout_seconds: float = 20,
    stop: threading.Event | None = None,
) -> Iterator[list[RaceWorker]]:
    """So many workers on the first of the shards, which is empty; `stop` tells all of them to leave."""
    databases.clear()
    settings = settings_in(directory, (SHARD,))
    patience = timedelta(seconds=lock_timeout_seconds)
    section = ShardSection(url=databases.urls[SHARD], lock_timeout=patience, limit=1)
    every = [Shards({SHARD: section}) for _ in range(count)]
    stop = stop or threading.Event()
    yield [
        RaceWorker(
            number,
            shards,
            store_on(shards.get(SHARD)),
            Executor(shards, settings, (), ManualTime().clock, stop, lambda _: None, TimeLimits(monotonic)),
        )
        for number, shards in enumerate(every)
    ]
    for shards in every:
        shards.close()


def at_once(workers: list[RaceWorker], act: Callable[[RaceWorker], Answer]) -> list[Answer]:
    """Let all of them act in the same moment; their answers."""
    barrier = threading.Barrier(len(workers))

    def run(worker: RaceWorker) -> Answer:
        barrier.wait()
        return act(worker)

    with ThreadPoolExecutor(len(workers)) as threads:
        return list(threads.map(run, workers))


def order_work(order_no: int, body: bytes) -> Callable[[Connection], bytes]:
    """A handler that inserts one order; a second time it is there twice."""

    def work(connection: Connection) -> bytes:
        connection.execute(INSERT, {"order_no": order_no})
        return body

    return work


@handles("orders.insert", dict)
def insert_order(payload: dict[str, Any], context: PartContext) -> dict[str, int]:
    """Insert one order."""
    context.connection.execute(INSERT, {"order_no": payload["order_no"]})
    return {"inserted": 1}


def suspect_part() -> Part:
    """A copy of the one job's part, whose message was received so often that its starts are counted."""
    held = held_of(job_fields(), receive_count=5)
    envelope = envelope_of(held)
    job = JobInHand(envelope, held, ManualTime().clock, lambda *_: None)
    job.suspect = True
    job.handler = handler_specs(insert_order)[0]
    (request,) = envelope.job.part_requests()
    (identity,) = part_identities(envelope, (request,))
    return Part(job, request, identity, placement_of("c-1", SHARD))
