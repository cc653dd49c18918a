"""The daemon's core without its threads: intake, lanes moved by hand, executor, real SQLite shards."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import text

from config.settings import Settings
from handlers.contract import PartContext, handles
from handlers.middleware import Middleware
from handlers.registry import Registry, handler_specs
from shards.directory import Placement, PlacementState, PlacementUnusable
from shards.grants import Grants
from tests.support.fakes import ManualTime, MemoryStore
from tests.support.jobs import create_shards, held_of, job_fields, placement_of, settings_in
from tests.support.memory_queue import MemoryPlace
from worker.attachments import AttachmentFetcher
from worker.conclusion import Conclusion, Deferral
from worker.executor import Executor
from worker.facts import Facts
from worker.held import Held
from worker.intake import Intake, Ways
from worker.job_in_hand import Part
from worker.lane import Reply
from worker.objects.files import DirectoryStore
from worker.objects.store import BucketStore
from worker.opening import Opener
from worker.routing import Router
from worker.signing_jobs import JobSignatures
from worker.tasks import PartTask, Task
from worker.time_limits import TimeLimits

AWAY = Deferral(timedelta(seconds=7), "shard_away")

Handler = Callable[[Any, PartContext], Any]

SECTIONS: dict[str, Any] = {
    "partners": {"acme": {"customers": ["*"], "types": ["*"]}, "poor": {"types": ["orders.insert"]}},
    "retry": {"base_delay": "10s", "max_attempts": 3},
}


def insert_order(payload: Any, context: PartContext) -> Any:
    """Insert one order."""
    context.connection.execute(text("INSERT INTO orders VALUES (:order_no)"), payload)
    return {"inserted": 1}


class Settled(NamedTuple):
    """What the settler was given."""

    held: list[Held]
    conclusion: Conclusion
    facts: Facts


@dataclass
class TestDirectory:
    """A directory that a test can change, and break."""

    __test__ = False

    placements: dict[str, Placement]
    error: Exception | None = None
    forgotten: list[str] = field(default_factory=list)
    unusable: set[str] = field(default_factory=set)

    def find(self, customer_ids: Sequence[str]) -> dict[str, Placement]:
        """Where they live."""
        if self.error is not None:
            raise self.error
        if self.unusable.intersection(customer_ids):
            raise PlacementUnusable("An entry cannot be used.")
        return {name: self.placements[name] for name in customer_ids if name in self.placements}

    def forget(self, customer_ids: Sequence[str]) -> None:
        """Nothing is remembered: a test's change is seen at once."""
        self.forgotten += customer_ids

    def set_state(self, customer_id: str, state: PlacementState) -> None:
        """Pause a customer, let it go, bring it back."""
        self.placements[customer_id] = replace(self.placements[customer_id], state=state)


class Site:
    """Customers c-1 and c-2 on the shard eu1, c-3 on eu2; `handler` is what runs for `orders.insert`."""

    def __init__(self, directory: Path, /, middleware: Sequence[Middleware] = (), **sections: Any) -> None:
        self.path = directory
        self.bucket = directory / "bucket"
        self.bucket.mkdir()
        attachments = {"buckets": [f"file://{self.bucket}"], "directory": str(directory / "attachments")}
        self.settings: Settings = settings_in(
            directory, ("eu1", "eu2"), **{**SECTIONS, "attachments": attachments, **sections}
        )
        self.time = ManualTime()
        self.stop = threading.Event()
        self.handler: Handler = insert_order
        self.settled: list[Settled] = []
        self.tasks: list[tuple[str, Task]] = []
        self.offered: list[str] = []
        self.refusing: dict[str, Deferral] = {}
        self.unadmitted: dict[str, Deferral] = {}
        self.offer_error: Exception | None = None
        self.source = MemoryPlace().transport("requests")
        self.objects = MemoryStore()
        self.shards = create_shards(self.settings, directory)
        homes = {"c-1": "eu1", "c-2": "eu1", "c-3": "eu2"}
        self.directory = TestDirectory({name: placement_of(name, shard) for name, shard in homes.items()})
        store = BucketStore(DirectoryStore(), self.objects)
        self.fetcher = AttachmentFetcher(
            store, self.settings.attachments, directory / "attachments", self.stop
        )
        self.time_limits = TimeLimits(self.time.clock.monotonic)
        self.executor = Executor(
            self.shards,
            self.settings,
            middleware,
            self.time.clock,
            self.stop,
            self.directory.forget,
            self.time_limits,
        )
        self.intake = self._intake(store)

    def _intake(self, store: BucketStore) -> Intake:
        @handles("orders.insert", Any)
        def handler(payload: Any, context: PartContext) -> Any:
            return self.handler(payload, context)

        registry = Registry({"orders.insert": handler_specs(handler)[0]})
        grants = Grants(self.settings.partners)
        router = Router(self.settings, registry, self.directory, grants, self.fetcher, self.time.clock)
        ways = Ways(self._admit, self._offer_part, self._offer_task, self._settle, lambda _job, _end: None)
        signatures = JobSignatures(self.settings.signing, self.settings.symfony)
        opener = Opener(self.settings, store, signatures)
        return Intake(self.settings, router, self.fetcher, opener, self.shards, ways, self.time.clock)

    def receive(self, body: str | dict[str, Any] | None = None, **held: Any) -> Held:
        """A delivery, received now."""
        body = job_fields() if body is None else body
        held = {"source": self.source, "received_at": self.time.clock.now(), **held}
        return held_of(body, **held)

    def take(self, body: str | dict[str, Any] | None = None, **held: Any) -> Held:
        """Take a delivery in, to its lanes or to its end."""
        delivery = self.receive(body, **held)
        self.intake.take(delivery)
        return delivery

    def run(self) -> None:
        """Let everything in the lanes run; what finds its shard away is given back."""
        while self.tasks:
            _, task = self.tasks.pop(0)
            if task.run() is Reply.UNANSWERED:
                task.give_back(AWAY)

    def conclude(self, body: str | dict[str, Any] | None = None, **held: Any) -> Conclusion:
        """Take a delivery in and run it to its end."""
        before = len(self.settled)
        self.take(body, **held)
        self.run()
        assert len(self.settled) == before + 1
        return self.settled[-1].conclusion

    def answer(self, body: str | dict[str, Any] | None = None, **held: Any) -> dict[str, Any]:
        """The result that a delivery leads to."""
        conclusion = self.conclude(body, **held)
        result: dict[str, Any] = json.loads(conclusion.body)  # type: ignore[union-attr]
        return result

    def pass_time(self, **spans: float) -> None:
        """Let time pass."""
        self.time.pass_time(timedelta(**spans).total_seconds())

    def lose_shard(self, name: str) -> None:
        """Let a shard's file vanish."""
        self.shards.get(name).close()
        for path in self.path.glob(f"{name}.db*"):
            path.unlink()

    def close(self) -> None:
        """Let go of the databases."""
        self.shards.close()
        self.fetcher.close()

    def _settle(self, held: list[Held], conclusion: Conclusion, facts: Facts) -> None:
        self.settled.append(Settled(held, conclusion, facts))

    def _offer_part(self, part: Part) -> Deferral | None:
        assert part.placement is not None
        task = PartTask(part, self.executor)
        part.queued_at = self.time.seconds
        self.offered.append(part.request.customer_id)
        return self._offer_task(part.placement.shard, task)

    def _admit(self, shard: str) -> Deferral | None:
        return self.unadmitted.get(shard)

    def _offer_task(self, shard: str, task: Task) -> Deferral | None:
        if self.offer_error is not None:
            raise self.offer_error
        if shard in self.refusing:
            return self.refusing[shard]
        self.tasks.append((shard, task))
        return None
