"""Workers that meet at the same jobs: one set of queues and shards, as many processes as a test starts."""

import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from config.points import Point
from tests.support.crash_databases import Databases
from tests.support.crash_job import HOMES
from tests.support.crash_queues import FAILURES, REQUESTS, RESPONSES, CrashQueues
from tests.support.crash_site import ENVIRONMENT
from tests.support.crash_worker import Death, Order, exit_status, kill, start
from tests.support.sqs_queue import StoredMessage
from tests.support.world import CONFIGURATION, job, wait_until, without_times

LEASE_SECONDS = 6
"""A poll takes a third of it, and a stop waits for a poll."""

OPTIONS = {
    "lease": f"{LEASE_SECONDS}s",
    "drain": "20s",
    "concurrency": "4",
    "worker": 'ack_linger = "20ms"\nresult_linger = "10ms"',
    "retry": "",
    "extra": "",
}


@dataclass
class Racer:
    """A worker in a process of its own."""

    process: BaseProcess
    log_path: Path
    note: Path

    @property
    def process_id(self) -> int:
        """The process's id."""
        assert self.process.pid is not None
        return self.process.pid

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of one event that it has written so far."""
        lines = self.log_path.read_text().splitlines() if self.log_path.exists() else []
        read = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [line for line in read if line["event"] == name]

    def wait_for_event(self, name: str) -> None:
        """Return when there is a line of the event."""
        wait_until(lambda: bool(self.events(name)), f"the event {name} in {self.log_path}")

    def wait_until_it_stands(self) -> None:
        """Return when it stands still at the point that it was given."""
        status = Path(f"/proc/{self.process_id}/stat")
        wait_until(lambda: status.read_text().rpartition(")")[2].split()[0] == "T", "a worker that stands")
        assert self.note.exists()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.process_id, number)

    def wait(self) -> int | None:
        """Its exit status, negative for a signal."""
        return exit_status(self.process)

    def stop(self) -> int | None:
        """SIGTERM, and its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()


class RaceSite:
    """Queues, two shards with the customers of `HOMES`, and workers that share nothing else."""

    def __init__(
        self,
        directory: Path,
        databases: Databases,
        queues: CrashQueues,
        options: Mapping[str, str],
        shard_urls: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.databases = databases
        self.queues = queues
        self.workers: list[Racer] = []
        self._shard_urls = shard_urls or databases.urls
        self._options = {**OPTIONS, **options}
        self.configuration = directory / "config.toml"
        self.configure()
        databases.clear()

    def configure(self, *, grants: str = '["*"]', paused: bool = False) -> None:
        """Write the configuration, for workers that start from now on: `paused` is the customer `c-2`."""
        text = _configuration(self.directory, self.queues.port, self._shard_urls, self._options)
        text = text.replace('customers = ["*"]', f"customers = {grants}")
        state = "paused" if paused else "active"
        text = text.replace('c-2 = "b"', f'c-2 = {{shard = "b", state = "{state}"}}')
        self.configuration.write_text(text)

    def start(self, *arguments: str, halt: Point | None = None, passing: int = 1, gathers: int = 0) -> Racer:
        """Start a worker; with `halt` it stands still when it passes the point for that time.

        With `gathers`, its first part waits until so many jobs were prepared.
        """
        number = len(self.workers)
        log, note = self.directory / f"worker-{number}.log", self.directory / f"stands-{number}"
        death = None if halt is None else Death(halt, passing, by=signal.SIGSTOP)
        command = ("consume", "--config", str(self.configuration), *arguments)
        process = start(Order(command, log, note, death, gathers=gathers, environment=ENVIRONMENT))
        self.workers.append(Racer(process, log, note))
        return self.workers[-1]

    def start_and_wait(self, count: int) -> list[Racer]:
        """Start so many workers; return when all of them receive."""
        started = [self.start() for _ in range(count)]
        for worker in started:
            worker.wait_for_event("worker.started")
        return started

    def send(self, *jobs: Mapping[str, Any]) -> None:
        """Put jobs on the request queue, all in the same moment."""
        bodies = [json.dumps(one) for one in jobs]

        def send() -> None:
            for body in bodies:
                self.queues.send(body)

        self.queues.server.act(REQUESTS, send)

    def end_leases(self) -> None:
        """Let the time of all leases pass on the queues, and on no worker's clock."""
        self.let_pass(LEASE_SECONDS + 1)

    def let_pass(self, seconds: float) -> None:
        """Put the queues' time forward."""
        self.queues.server.act(REQUESTS, lambda: self.queues.let_pass(seconds))

    def waiting(self) -> list[StoredMessage]:
        """The messages on the request queue, leased or not."""
        return self.queues.messages(REQUESTS)

    def wait_until_settled(self) -> None:
        """Return when nothing is left on the request queue."""
        wait_until(lambda: not self.waiting(), "an empty request queue")

    def stop(self) -> list[int | None]:
        """SIGTERM to all that still run; the exit statuses of all that there were."""
        for worker in self.workers:
            if worker.process.is_alive():
                worker.signal(signal.SIGTERM)
        return [worker.wait() for worker in self.workers]

    def answers(self, job_id: str) -> list[dict[str, Any]]:
        """The final results of a job without their times, each once, however often it was sent."""
        found: list[dict[str, Any]] = []
        for message in self.queues.messages(RESPONSES):
            body = without_times(json.loads(message.body))
            if body["job_id"] == job_id and body["status"] != "running" and body not in found:
                found.append(body)
        return found

    def answers_sent(self) -> int:
        """How many results were sent, repeats of the same among them."""
        return len(self.queues.messages(RESPONSES))

    def letters(self) -> list[tuple[str, str]]:
        """Each dead letter's job and code."""
        letters = self.queues.messages(FAILURES)
        headers = [json.loads(letter.attributes["Shardworker"]["StringValue"]) for letter in letters]
        ids = [json.loads(letter.body)["job_id"] for letter in letters]
        return sorted((job_id, header["code"]) for job_id, header in zip(ids, headers, strict=True))

    def counts(self) -> set[tuple[int, int]]:
        """Which numbers of attempts and starts the inbox rows have."""
        return {(row["attempt"], row["starts"]) for row in self.databases.inbox_rows()}

    def slow_job(self, job_id: str, customers: Sequence[str] = ("c-1",), **fields: Any) -> dict[str, Any]:
        """A job whose handlers insert a row and then wait for `go_on`."""
        files = {"started": str(self.directory / "started"), "go_on": str(self.directory / "go-on")}
        return job(job_id, customers, type="orders.slow", payload=files, **fields)

    def wait_for_start(self, count: int = 1) -> None:
        """Return when so many handlers of slow jobs were called."""
        wait_until(lambda: len(list(self.directory.glob("started.*"))) >= count, f"{count} started handlers")

    def go_on(self) -> None:
        """Let the handlers of slow jobs return."""
        (self.directory / "go-on").touch()

    def close(self) -> None:
        """End what still runs."""
        for worker in self.workers:
            kill(worker.process)


@contextmanager
def race_site(
    directory: Path, databases: Databases, shard_urls: Mapping[str, str] | None = None, **options: str
) -> Iterator[RaceSite]:
    """A site on these shards, which workers may reach by other URLs, with queues of its own."""
    with CrashQueues() as queues:
        site = RaceSite(directory, databases, queues, options, shard_urls)
        try:
            yield site
        finally:
            site.close()


def _configuration(
    directory: Path, queue_port: int, shard_urls: Mapping[str, str], options: Mapping[str, str]
) -> str:
    queue = f"sqs+http://127.0.0.1:{queue_port}/000000000000/"
    urls = {"request": queue + REQUESTS, "response": queue + RESPONSES, "failure": queue + FAILURES}
    text = CONFIGURATION.format(directory=directory, **urls, **options)
    shards = "".join(
        f'\n[shards.{name}]\nurl = "{url}"\nlock_timeout = "1s"\n' for name, url in shard_urls.items()
    )
    customers = "".join(f'{customer} = "{shard}"\n' for customer, shard in HOMES.items())
    return f"{text}{shards}\n[directory.customers]\n{customers}"
