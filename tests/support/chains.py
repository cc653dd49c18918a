"""A world on FIFO queues, whose jobs are the steps of chains: each chain a group, and a customer's."""

import json
import signal
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support.sqs_queue import StoredMessage
from tests.support.sqs_server import SqsServer
from tests.support.world import CUSTOMERS, HOMES, SHARDS, WorkerProcess, World, wait_until
from worker.transports.base import Message

STEPS = "CREATE TABLE steps (place INTEGER PRIMARY KEY AUTOINCREMENT, chain TEXT, number INTEGER)"


class Step(NamedTuple):
    """One job: the number of its chain and its own in it."""

    chain: int
    number: int

    @property
    def job_id(self) -> str:
        """Its job's id."""
        return f"step-{self.chain}-{self.number}"


class Chains(World):
    """Queues of the SQS stand-in, and a table on each shard for what was done."""

    server: SqsServer

    def prepare(self, server: SqsServer) -> None:
        """Make the tables."""
        self.server = server
        for shard in SHARDS:
            with closing(sqlite3.connect(self.directory / f"{shard}.db")) as connection:
                connection.execute(STEPS)

    def send_killer(self, step: Step) -> None:
        """Put a job in a step's place whose handler kills its process."""
        body = json.dumps({**job_of(step), "type": "orders.killer"})
        assert not self.request.send([Message(body, group=f"chain-{step.chain}")])

    def send_steps(self, steps: Iterable[Step]) -> None:
        """Put the jobs on the request queue, each in its chain's group."""
        messages = [
            Message(json.dumps(job_of(step)), group=f"chain-{step.chain}", deduplication_id=step.job_id)
            for step in steps
        ]
        assert not self.request.send(messages)

    def stored(self, queue: str) -> list[StoredMessage]:
        """What is on a queue, in the order in which it was accepted."""
        return list(self.server.service.queues[f"{queue}.fifo"].messages.copy().values())

    def answered(self) -> list[str]:
        """The ids of the jobs with a final result, in the order of those."""
        bodies = [json.loads(message.body) for message in self.stored("responses")]
        return [body["job_id"] for body in bodies if body["status"] != "running"]

    def wait_until_settled(self) -> None:
        """Wait until nothing is left on the request queue; asks no server, which the workers need."""
        wait_until(lambda: not self.stored("requests"), "an empty request queue", pause_seconds=0.05)

    def wait_for_answers(self, count: int) -> None:
        """Wait until so many jobs have a final result."""

        def are_there() -> bool:
            return len(self.stored("responses")) >= count and len(self.answered()) >= count

        wait_until(are_there, f"{count} answers", pause_seconds=0.05)

    def stop(self, worker: WorkerProcess) -> int:
        """SIGTERM, an end to its long poll, and its exit status."""
        worker.signal(signal.SIGTERM)
        worker.wait_for_event("worker.stopping")
        self.server.end_polls("requests.fifo")
        return worker.wait()

    def done(self) -> list[Step]:
        """The steps that were committed, each chain's in their order."""
        found: list[Step] = []
        for shard in SHARDS:
            with closing(sqlite3.connect(self.directory / f"{shard}.db")) as connection:
                rows = connection.execute("SELECT chain, number FROM steps ORDER BY place")
                found += [Step(int(chain), number) for chain, number in rows]
        return found


def job_of(step: Step) -> dict[str, object]:
    """The job that notes the step, for one customer."""
    return {
        "job_id": step.job_id,
        "type": "orders.step",
        "partner_id": "acme",
        "customers": [CUSTOMERS[step.chain % len(CUSTOMERS)]],
        "payload": {"chain": str(step.chain), "number": step.number},
    }


def shard_of(chain: int) -> str:
    """Where a chain's customer lives."""
    return HOMES[CUSTOMERS[chain % len(CUSTOMERS)]]


def by_chain(steps: Iterable[Step]) -> dict[int, list[int]]:
    """The numbers of each chain's steps, as they came."""
    chains: dict[int, list[int]] = {}
    for step in steps:
        chains.setdefault(step.chain, []).append(step.number)
    return chains


@contextmanager
def fifo_world(directory: Path, clock: Callable[[], float] = time.time, **options: str) -> Iterator[Chains]:
    """The world. Its time is the server's: leases end there when a test lets it pass."""
    with SqsServer(clock=clock) as server:
        request, response, failure = (
            f"sqs+{server.endpoint_url}/000000000000/{queue}.fifo"
            for queue in ("requests", "responses", "failures")
        )
        world = Chains(directory, request, response, failure, {"lease": "30s", "concurrency": "8", **options})
        try:
            world.prepare(server)
            yield world
        finally:
            world.close()
