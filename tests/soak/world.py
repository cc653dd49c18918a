"""The soak's world: queues, buckets, databases and workers, all of this machine, and all of them careless."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.soak.configuration import configuration
from tests.soak.databases import Databases, running_databases
from tests.soak.objects import Buckets
from tests.soak.plan import Plan
from tests.soak.queues import CarelessServer
from tests.soak.workers import Workers


@dataclass(frozen=True)
class World:
    """All that takes part."""

    queues: CarelessServer
    buckets: Buckets
    databases: Databases
    workers: Workers

    def make_peace(self) -> None:
        """Let nothing go wrong any more."""
        self.queues.make_peace()
        self.buckets.fates.at_peace = True


@contextmanager
def soak_world(directory: Path, plan: Plan, bend: str | None = None) -> Iterator[World]:
    """The world of a plan, its workers started, bent perhaps; `directory` is empty and its own."""
    with ExitStack() as stack:
        queues = stack.enter_context(CarelessServer(plan.seed))
        buckets = stack.enter_context(Buckets(plan.seed))
        databases = stack.enter_context(running_databases(directory))
        queue = f"sqs+{queues.endpoint_url}/000000000000"
        urls = databases.worker_urls
        text = configuration(directory, queue, buckets.endpoint_url, urls, is_bent=bend is not None)
        (directory / "config.toml").write_text(text)
        has_killers = any(case.kind == "killer" for case in plan.cases)
        workers = Workers(directory, plan.sizes.workers, has_killers, bend)
        stack.callback(workers.close)
        workers.start()
        yield World(queues, buckets, databases, workers)
