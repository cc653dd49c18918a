"""A small world for end-to-end tests: queues, three SQLite shards, a configuration, worker processes."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from config.settings import Settings
from shards.engines import Shards
from shards.inbox import create_inbox
from tests.support.forked import ForkedProcess
from tests.support.listed_lines import assert_listed
from worker.transports.base import Delivery, Message, Transport
from worker.transports.factory import open_transport

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0
SHARDS = ("s0", "s1", "s2")
CUSTOMERS = tuple(f"c-{number}" for number in range(24))
HOMES = {customer: SHARDS[number % len(SHARDS)] for number, customer in enumerate(CUSTOMERS)}

ORDERS = "CREATE TABLE orders (order_no INTEGER PRIMARY KEY, customer_id TEXT NOT NULL, note TEXT)"

CONFIGURATION = """
[queues]
request = ["{request}"]
response = "{response}"
failure = "{failure}"

[worker]
lease = "{lease}"
drain = "{drain}"
concurrency = {concurrency}
state_directory = "{directory}/state"
{worker}

[retry]
base_delay = "50ms"
max_delay = "200ms"
{retry}

[deferral]
unknown_grace = "0s"
busy_delay = "200ms"
busy_max_delay = "500ms"
away_base_delay = "50ms"
away_max_delay = "500ms"
probe_max_delay = "500ms"

[handlers]
modules = ["tests.support.handlers"]

[[handlers.insert]]
type = "orders.insert"
table = "orders"
customer_column = "customer_id"

[partners.acme]
customers = ["*"]
types = ["*"]

[attachments]
buckets = ["file://{directory}/bucket"]

[logging]
format = "json"
{extra}
"""


class LogFile:
    """The log that a program writes as JSON lines to `log_path`."""

    log_path: Path

    def log(self) -> list[dict[str, Any]]:
        """The lines that it has written so far."""
        lines = self.log_path.read_text().splitlines() if self.log_path.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of one event."""
        return [line for line in self.log() if line["event"] == name]

    def wait_for_event(self, name: str) -> dict[str, Any]:
        """The first line of an event, when it is there."""
        wait_until(lambda: bool(self.events(name)), f"the event {name} in {self.log_path}")
        return self.events(name)[0]


@dataclass
class WorkerProcess(LogFile):
    """A worker as its own process, and its log."""

    process: subprocess.Popen[bytes] | ForkedProcess
    log_path: Path

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit status, negative for a signal."""
        return self.process.wait(PATIENCE_SECONDS)

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()


@dataclass
class World:
    """Queues at the given URLs, shards and a configuration in `directory`."""

    directory: Path
    request_url: str
    response_url: str
    failure_url: str
    options: dict[str, str] = field(default_factory=dict)
    workers: list[WorkerProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Write the configuration, create queues, shards and tables."""
        self.config_path = self.directory / "config.toml"
        self.config_path.write_text(self._configuration())
        self.settings = Settings.model_validate(tomllib.loads(self.config_path.read_text()))
        (self.directory / "bucket").mkdir()
        self._make_shards()
        self.request, self.response, self.failure = (
            open_transport(url, self.settings.queues, self.settings.worker.lease)
            for url in (self.request_url, self.response_url, self.failure_url)
        )
        for queue in self.queues:
            queue.create()

    @property
    def queues(self) -> tuple[Transport, Transport, Transport]:
        """Request, response and failure queue."""
        return self.request, self.response, self.failure

    def start_worker(self, *arguments: str, **environment: str) -> WorkerProcess:
        """Start `shardworker consume` as its own process."""
        log_path = self.directory / f"worker-{len(self.workers)}.log"
        command = ["consume", "--config", str(self.config_path), *arguments]
        variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        process = ForkedProcess(command, log_path, ROOT, variables)
        return self._started(process, log_path)

    def start_interpreter(self, *arguments: str) -> WorkerProcess:
        """Start it as an operator does, all of its CPU its own: for benchmarks."""
        log_path = self.directory / f"worker-{len(self.workers)}.log"
        command = [sys.executable, "-m", "worker", "consume", "--config", str(self.config_path), *arguments]
        with log_path.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)
        return self._started(process, log_path)

    def _started(self, process: subprocess.Popen[bytes] | ForkedProcess, log_path: Path) -> WorkerProcess:
        worker = WorkerProcess(process, log_path)
        self.workers.append(worker)
        return worker

    def send(self, *jobs: dict[str, Any] | str) -> None:
        """Put jobs, or bodies as they are, on the request queue."""
        bodies = [job if isinstance(job, str) else json.dumps(job) for job in jobs]
        faults = self.request.send([Message(body=body) for body in bodies])
        assert not faults

    def results(self) -> list[dict[str, Any]]:
        """Every final result on the response queue; they stay there."""
        return [result for result in self._answers() if result["status"] != "running"]

    def running_results(self) -> list[dict[str, Any]]:
        """What the response queue tells of jobs under way, the oldest first; it stays there."""
        return [result for result in self._answers() if result["status"] == "running"]

    def _answers(self) -> list[dict[str, Any]]:
        return [json.loads(delivery.body) for delivery in self.take_all(self.response)]

    def dead_letters(self) -> list[Delivery]:
        """Every message on the failure queue; they stay there."""
        return self.take_all(self.failure)

    def take_all(self, queue: Transport) -> list[Delivery]:
        """What waits on a queue; it stays there."""
        return queue.browse(10_000)

    def wait_until_settled(self) -> None:
        """Wait until nothing is left on the request queue, leased or delayed."""
        wait_until(lambda: self.request.depth() == (0, 0, 0), "an empty request queue")

    def rows(self) -> list[tuple[int, str]]:
        """Every row of every shard: order number and customer."""
        return [row for shard in SHARDS for row in self.rows_on(shard)]

    def rows_on(self, shard: str) -> list[tuple[int, str]]:
        """The rows of one shard."""
        with closing(sqlite3.connect(self.directory / f"{shard}.db")) as connection:
            return connection.execute("SELECT order_no, customer_id FROM orders ORDER BY 1").fetchall()

    def inbox(self, job_id: str) -> list[dict[str, Any]]:
        """The inbox rows of a job on every shard."""
        rows = []
        for shard in SHARDS:
            with closing(sqlite3.connect(self.directory / f"{shard}.db")) as connection:
                connection.row_factory = sqlite3.Row
                found = connection.execute("SELECT * FROM shardworker_inbox WHERE job_id = ?", (job_id,))
                rows += [dict(row) for row in found]
        return rows

    def directory_section(self) -> str:
        """The configuration of where customers live: the file's own map."""
        lines = [f'{customer} = "{shard}"' for customer, shard in HOMES.items()]
        return "\n".join(["", "[directory.customers]", *lines, ""])

    def close(self) -> None:
        """End what still runs, and see that the workers' lines are all as the log's lists say."""
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()
        for queue in self.queues:
            queue.close()
        for worker in self.workers:
            assert_listed(worker.log())

    def _configuration(self) -> str:
        options = {"lease": "30s", "drain": "20s", "concurrency": "4", "worker": "", "retry": "", "extra": ""}
        text = CONFIGURATION.format(
            request=self.request_url,
            response=self.response_url,
            failure=self.failure_url,
            directory=self.directory,
            **{**options, **self.options},
        )
        for shard in SHARDS:
            text += f'\n[shards.{shard}]\nurl = "sqlite:///{self.directory}/{shard}.db"\n'
        return text + self.directory_section()

    def _make_shards(self) -> None:
        shards = Shards(self.settings.shards)
        for name in SHARDS:
            create_inbox(shards.get(name), None)
            with closing(sqlite3.connect(self.directory / f"{name}.db")) as connection:
                connection.execute(ORDERS)
        shards.close()


def job(job_id: str, customers: Iterable[Any] = ("c-0",), **fields: Any) -> dict[str, Any]:
    """A job that inserts the given rows, one by default, with the partner and type of the tests' world."""
    rows = fields.pop("rows", [{"order_no": abs(hash(job_id)) % 10**9}])
    return {
        "job_id": job_id,
        "type": "orders.insert",
        "partner_id": "acme",
        "customers": list(customers),
        "payload": {"rows": rows, **fields.pop("payload", {})},
        **fields,
    }


def wait_until(condition: Callable[[], bool], what: str, pause_seconds: float = 0.02) -> None:
    """Wait until the condition holds; fails after a minute. A look that costs much wants a longer pause."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS:.0f} s in vain for {what}"
        time.sleep(pause_seconds)


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    """A result but for its two times."""
    return {name: value for name, value in result.items() if name not in {"received_at", "finished_at"}}


MINUTE = timedelta(minutes=1)
