"""Counted starts: those of the parts that run now, to be taken back when the process leaves amid them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection

from shards.guard import PartConnection
from shards.interruption import Interrupter
from shards.parts import PartStore
from worker.job_in_hand import Part

log = structlog.get_logger()


@dataclass(slots=True)
class _Running:
    part: Part
    store: PartStore
    interrupter: Interrupter | None = None


class CountedStarts:
    """Remembers the suspect parts that run, and those that went back with a start counted; thread-safe.

    A process that leaves before their handlers return has not been killed by them. Their transactions keep
    the rows locked in which the starts are counted: so their connections are cut first. Nor has a part killed
    anything whose shard went away under it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, _Running] = {}
        self._owed: dict[str, list[_Running]] = {}

    @contextmanager
    def running(self, part: Part, store: PartStore) -> Iterator[None]:
        """The part runs inside the block, and its start is counted."""
        with self._lock:
            self._running[id(part)] = _Running(part, store)
        try:
            yield
        finally:
            with self._lock:
                self._running.pop(id(part), None)

    def connected(self, part: Part, connection: Connection) -> None:
        """The part runs on this connection; to be told by the thread that uses it."""
        assert isinstance(connection, PartConnection)  # noqa: S101 - every shard's is one
        with self._lock:
            running = self._running.get(id(part))
            if running is not None:
                running.interrupter = Interrupter(connection)

    def forget(self, part: Part) -> None:
        """The part's start is ended by whoever writes its failure."""
        with self._lock:
            self._running.pop(id(part), None)

    def owe(self, part: Part, store: PartStore) -> None:
        """The part's shard went away with its start counted, and the part goes back to its queue."""
        assert part.placement is not None  # noqa: S101 - it ran on its shard
        with self._lock:
            self._owed.setdefault(part.placement.shard, []).append(_Running(part, store))

    def pay(self, shard: str) -> None:
        """The shard answers again: take back the starts that are owed there."""
        if shard not in self._owed:
            return
        with self._lock:
            owed = self._owed.pop(shard, [])
        for one in owed:
            self._take_back(one)

    def take_back(self) -> None:
        """Cut the connections of the parts that still run, and take their starts back."""
        with self._lock:
            running = list(self._running.values())
            for one in running:
                if one.interrupter is not None:
                    one.interrupter.cut()
        for one in running:
            self._take_back(one)

    def _take_back(self, one: _Running) -> None:
        try:
            one.store.take_back_start(one.part.identity)
        except Exception:  # noqa: BLE001 - whatever the shard says: the process leaves all the same
            log.warning(
                "shard.unanswered",
                job=one.part.identity.job_id,
                customer=one.part.identity.customer_id,
                shard="" if one.part.placement is None else one.part.placement.shard,
                error_code="shard_away",
                msg="The start of a part that was given up could not be taken back: it stays counted.",
            )
