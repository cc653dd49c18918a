"""Builders for tests of moves: two places, a directory that is a dictionary, writers that never stop."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from queue import SimpleQueue

from sqlalchemy import insert, select

from shards.customer_places import CustomerPlace
from shards.directory import Placement, PlacementState
from shards.engines import Shard
from shards.failures import Kind, classify
from shards.inbox import Outcome, PlacementStale, create_inbox, inbox
from shards.move_stages import Step
from shards.moves import Move, Surroundings
from shards.parts import PartStore
from shards.placement_rows import PlacementRow, insert_row, placement_rows
from tests.support.parts import ORDERS, create_orders, identity, order_work

CUSTOMER = "c-1"
OTHER = "c-2"
PATIENCE_SECONDS = 60.0
PASSING_KINDS = {Kind.BUSY, Kind.RETRY_TRANSACTION}


class Crash(BaseException):
    """The process dies here: nothing in it has another say."""


@dataclass
class Site:
    """A customer at `here`, about to move to `there`; `directory` is what the workers are told."""

    here: CustomerPlace
    there: CustomerPlace
    directory: Placement = field(init=False)
    notes: list[Step] = field(default_factory=list)
    die_at: int | None = None
    on_note: Callable[[Step], None] = lambda _: None
    wait: timedelta = timedelta(seconds=20)
    epochs: Iterator[int] = field(default_factory=lambda: count(7, 13))

    def __post_init__(self) -> None:
        """The customer lives here, and so does another one."""
        self.directory = Placement(CUSTOMER, self.here.shard.name, self.here.schema, PlacementState.ACTIVE, 3)
        for customer_id in (CUSTOMER, OTHER):
            with self.here.transaction() as connection:
                insert_row(connection, PlacementRow(customer_id, 3, PlacementState.ACTIVE))

    def move(self, there: CustomerPlace | None = None) -> Move:
        """A command of an operator: the move from where the directory says."""
        around = Surroundings(time.time, time.monotonic, lambda: next(self.epochs), self.wait, self._note)
        return Move(self.directory, self.here, there or self.there, around)

    def back(self) -> "Site":
        """The way back, once the move has been finished."""
        site = object.__new__(Site)
        site.__dict__.update(self.__dict__, here=self.there, there=self.here, notes=[])
        return site

    def enter(self, placement: Placement) -> None:
        """The directory's new entry."""
        self.directory = placement

    def sync(self) -> None:
        """What an operator's command does: the customer's own data, as they stand now."""
        copy_orders(self.here, self.there)

    def finish(self) -> None:
        """The usual last command."""
        self.move().finish(self.sync, self.enter)

    def states(self) -> tuple[PlacementState | None, PlacementState | None]:
        """The states of the placement rows here and there."""
        here, there = self.here.row(), self.there.row()
        return here.state if here else None, there.state if there else None

    def store(self, placement: Placement | None = None) -> PartStore:
        """A worker's store for the customer, with the directory's placement or an old one."""
        placement = placement or self.directory
        places = {(place.shard.name, place.schema): place for place in (self.here, self.there)}
        place = places[placement.shard, placement.schema]
        return PartStore(
            place.shard,
            placement,
            clock=time.time,
            stop=threading.Event(),
            transaction_tries=20,
            check_placement=True,
        )

    def _note(self, step: Step) -> None:
        self.notes.append(step)
        self.on_note(step)
        if self.die_at == len(self.notes):
            raise Crash(step)


class Writers:
    """Threads that run one part after the other, each until it has its outcome, wherever that is."""

    def __init__(self, site: Site, threads: int = 8) -> None:
        self._site = site
        self._numbers = count(1)
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._errors: SimpleQueue[BaseException] = SimpleQueue()
        self._threads = [threading.Thread(target=self._write) for _ in range(threads)]
        self.outcomes: dict[int, Outcome] = {}
        self.refused = 0

    def wait_for_more(self, parts: int) -> None:
        """Wait until so many more parts are done."""
        with self._changed:
            wanted = len(self.outcomes) + parts
            done = self._changed.wait_for(
                lambda: len(self.outcomes) >= wanted or not self._errors.empty(), PATIENCE_SECONDS
            )
        assert self._errors.empty(), self._errors.get()
        assert done, f"waited in vain for {parts} more parts"

    @contextmanager
    def running(self) -> Iterator[None]:
        """The threads at work; at the end each part that was begun has its outcome."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in self._threads:
                thread.join(PATIENCE_SECONDS)
        assert self._errors.empty(), self._errors.get()
        assert not any(thread.is_alive() for thread in self._threads)

    def _write(self) -> None:
        try:
            cached = self._site.directory
            while not self._stopping.is_set():
                cached = self._run(next(self._numbers), cached)
        except BaseException as error:  # noqa: BLE001  what a thread meets is the test's to judge
            self._errors.put(error)
            with self._changed:
                self._changed.notify_all()

    def _run(self, number: int, cached: Placement) -> Placement:
        while True:
            store = self._site.store(cached)
            try:
                outcome = store.run(identity(f"job-{number}"), order_work(number, b"%d" % number))
            except PlacementStale:
                cached = self._site.directory
                self.refused += 1
            except Exception as error:
                if classify(error, self._site.here.shard.dialect).kind not in {
                    Kind.BUSY,
                    Kind.RETRY_TRANSACTION,
                }:
                    raise
            else:
                with self._changed:
                    self.outcomes[number] = outcome
                    self._changed.notify_all()
                return cached
            time.sleep(0.01)  # a worker waits longer


def make_place(shard: Shard, schema: str | None = None) -> CustomerPlace:
    """A place with all tables, empty."""
    place = CustomerPlace(CUSTOMER, shard, schema)
    create_inbox(shard, schema)
    with place.transaction() as connection:
        placement_rows.create(connection, checkfirst=True)
    if schema is None:
        create_orders(shard)
    return place


def orders_at(place: CustomerPlace) -> list[int]:
    """The orders that are committed in a place."""
    with place.transaction(reading=True) as connection:
        return list(connection.execute(select(ORDERS.c.order_no).order_by("order_no")).scalars())


def copy_orders(source: CustomerPlace, target: CustomerPlace) -> None:
    """Bring over the orders that are not there yet."""
    missing = sorted(set(orders_at(source)) - set(orders_at(target)))
    with target.transaction() as connection:
        if missing:
            connection.execute(insert(ORDERS), [{"order_no": number} for number in missing])


def inbox_at(place: CustomerPlace, customer_id: str = CUSTOMER) -> Sequence[dict[str, object]]:
    """A customer's inbox rows in a place, every column, by job."""
    statement = select(inbox).where(inbox.c.customer_id == customer_id)
    with place.transaction(reading=True) as connection:
        rows = [dict(row) for row in connection.execute(statement).mappings()]
    return sorted(rows, key=lambda row: str(row["job_id"]))
