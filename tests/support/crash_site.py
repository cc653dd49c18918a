"""A job on its way through workers that may die: its queues, its shards, and what is left of it."""

import json
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.crash_databases import Databases
from tests.support.crash_job import HOMES, WAITING, CrashJob
from tests.support.crash_queues import FAILURES, REQUESTS, RESPONSES, CrashQueues
from tests.support.crash_worker import Death, Order, exit_status, kill, start
from tests.support.world import CONFIGURATION

LEASE_SECONDS = 30
COPIES = 2
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-west-1",
}
TOGETHER = {"SHARDWORKER__WORKER__ACK_LINGER": "1s"}
PAUSED = {
    "SHARDWORKER__DIRECTORY__CUSTOMERS": json.dumps(
        {customer: {"shard": shard, "state": "active"} for customer, shard in HOMES.items()}
        | {WAITING: {"shard": HOMES[WAITING], "state": "paused"}}
    )
}
ONE_AT_A_TIME = ("--concurrency", "1")
OPTIONS = {
    "lease": f"{LEASE_SECONDS}s",
    "drain": "20s",
    "concurrency": "4",
    # a copy then comes to a job that is prepared
    "worker": 'prepare_threads = 1\nack_linger = "50ms"',
    "retry": "max_attempts = 1",
    "extra": "",
}


class Left(NamedTuple):
    """What there is of the job: calls of its handlers, parts with an outcome, answers, dead letters, its
    messages, and files that a worker fetched for it.
    """

    runs: int
    parts: int
    results: int
    letters: int
    messages: int
    files: int


class CrashSite:
    """The job, twice on its queue. Workers reach the queues at `queue_port`, the shards at `shard_urls`."""

    def __init__(
        self,
        directory: Path,
        databases: Databases,
        queues: CrashQueues,
        queue_port: int,
        shard_urls: Mapping[str, str],
    ) -> None:
        self.databases = databases
        self.queues = queues
        self.job = CrashJob(directory)
        self._directory = directory
        self._note = directory / "died"
        self._processes: list[BaseProcess] = []
        self._configuration = directory / "config.toml"
        self._configuration.write_text(_configuration(directory, queue_port, shard_urls))
        databases.clear()
        for _ in range(COPIES):
            queues.send(self.job.body)

    def start_victim(
        self, death: Death | None, bend: str | None = None, environment: Mapping[str, str] | None = None
    ) -> BaseProcess:
        """Start a worker that is to die: it takes the deliveries together, and one part at a time."""
        variables = {**ENVIRONMENT, **TOGETHER, **(environment or {})}
        return self._start(*ONE_AT_A_TIME, death=death, bend=bend, joins=True, environment=variables)

    def start_another(self, *arguments: str, bend: str | None = None) -> BaseProcess:
        """Start a worker that leaves when it has settled all that is left."""
        limit = str(self.left().messages)
        return self._start("--limit", limit, *arguments, bend=bend, environment=ENVIRONMENT)

    def finish(self, bend: str | None = None) -> int | None:
        """Let another worker finish what is left, if anything is; its exit status."""
        return exit_status(self.start_another(bend=bend)) if self.left().messages else 0

    def note_death(self) -> None:
        """For who kills the worker from outside: it was killed where it was to be."""
        self._note.touch()

    def died_where_told(self) -> bool:
        """Whether a worker came to the place where it was to die."""
        return self._note.exists()

    def log(self) -> str:
        """What all workers have logged."""
        return "".join(path.read_text() for path in sorted(self._directory.glob("worker-*.log")))

    def end_lease(self) -> None:
        """Let the time of the dead worker's lease pass."""
        self.queues.let_pass(LEASE_SECONDS + 1)

    def left(self) -> Left:
        """What there is now."""
        return Left(
            runs=len(self.job.runs()),
            parts=len(self.databases.inbox()),
            results=len(self.queues.messages(RESPONSES)),
            letters=len(self.queues.messages(FAILURES)),
            messages=len(self.queues.messages(REQUESTS)),
            files=len(self._files()),
        )

    def close(self) -> None:
        """End what still runs."""
        for process in self._processes:
            kill(process)

    def _start(self, *arguments: str, **order: Any) -> BaseProcess:
        log = self._directory / f"worker-{len(self._processes)}.log"
        command = ("consume", "--config", str(self._configuration), *arguments)
        process = start(Order(command, log, self._note, **order))
        self._processes.append(process)
        return process

    def _files(self) -> list[Path]:
        fetched = (self._directory / "state" / "attachments").rglob("*")
        return [path for path in fetched if path.is_file() and "lock" not in path.name]


def _configuration(directory: Path, queue_port: int, shard_urls: Mapping[str, str]) -> str:
    queue = f"sqs+http://127.0.0.1:{queue_port}/000000000000/"
    urls = {"request": queue + REQUESTS, "response": queue + RESPONSES, "failure": queue + FAILURES}
    text = CONFIGURATION.format(directory=directory, **urls, **OPTIONS)
    shards = "".join(f'\n[shards.{name}]\nurl = "{url}"\n' for name, url in shard_urls.items())
    customers = "".join(f'{customer} = "{shard}"\n' for customer, shard in HOMES.items())
    return f"{text}{shards}\n[directory.customers]\n{customers}"
