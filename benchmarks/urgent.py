"""One urgent job a second beside 50,000 bulk jobs: how long it takes, and what it costs the bulk.

Run it with `make bench-urgent`; it takes some four minutes. One worker process receives from two queues of
the SQS stand-in; four shards lie on a private PostgreSQL server. First the bulk runs alone, then urgent
jobs are sent beside it. Bulk jobs of one row come first, then such whose parts take two seconds each.
"""

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.small_jobs import cpu_of, sqs_server
from tests.support.postgresql import running_postgresql
from tests.support.server_world import Place, ServerWorld
from tests.support.world import WorkerProcess, World, job
from worker.transports.base import Message, Transport
from worker.transports.factory import open_transport

SHARDS = 4
WARM_SECONDS = 5.0
PATIENCE_SECONDS = 60.0
SHORT_WAIT = timedelta(seconds=1)
ANSWER_LEASE = timedelta(minutes=10)
SENT_TOGETHER = 1_000
STEPS = ("queue_wait_ms", "prepare_ms", "lane_wait_ms", "database_ms", "total_ms")


@dataclass
class Answers:
    """When each job's result was on the response queue, by that queue's clock."""

    at: dict[str, float] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    def read(self, queue: Transport) -> None:
        """Take results until told to stop."""
        while not self.stop.is_set():
            deliveries = queue.receive(10, SHORT_WAIT, ANSWER_LEASE)
            for delivery in deliveries:
                result = json.loads(delivery.body)
                if result["status"] != "running":
                    self.at.setdefault(result["job_id"], delivery.sent_at.timestamp())
            if deliveries:
                queue.ack(deliveries)

    def bulk_rate(self, began: float, ended: float) -> float:
        """Bulk jobs answered each second between two moments."""
        moments = [moment for job_id, moment in tuple(self.at.items()) if job_id.startswith("bulk")]
        return sum(began <= moment < ended for moment in moments) / (ended - began)


def main() -> None:
    """Run both cases and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=50_000, help="bulk jobs on their queue at the start")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long urgent jobs are sent")
    parser.add_argument("--alone-seconds", type=float, default=30.0, help="how long the bulk runs alone")
    parser.add_argument("--cases", nargs="+", choices=["short", "long"], default=["short", "long"])
    parser.add_argument("--latency-ms", type=float, default=0.0, help="added to each SQS request")
    options = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "eu-west-1"}
    if "short" in options.cases:
        measure("bulk of one row", options, 0.0)
    if "long" in options.cases:
        measure("bulk of 2 s a part", options, 2.0)


def measure(name: str, options: argparse.Namespace, bulk_seconds: float) -> None:
    """One case, on servers of its own: the bulk alone, then with urgent jobs beside it."""
    with ExitStack() as stack:
        sites = stack.enter_context(sites_with_two_queues(options.latency_ms))
        world = sites.world
        bulk = stack.enter_context(bulk_queue(world))
        send_bulk(sites, bulk, options.jobs, bulk_seconds)
        worker = world.start_worker()
        worker.wait_for_event("worker.started")
        answers = Answers()
        reader = threading.Thread(target=answers.read, args=(world.response,))
        reader.start()
        stack.callback(reader.join)
        stack.callback(answers.stop.set)
        time.sleep(WARM_SECONDS)
        print(f"{name}: {options.jobs} jobs")
        alone = phase(worker, lambda: time.sleep(options.alone_seconds))
        sent: dict[str, float] = {}
        beside = phase(worker, lambda: send_urgent(sites, sent, options.seconds))
        wait_for(answers, sent)
        report(answers, sent, alone, beside)
        print_steps(worker)
        released = Counter(line["error_code"] for line in worker.events("job.released"))
        print(f"  given back to the queue meanwhile: {dict(released)}", flush=True)
        worker.stop()


@contextmanager
def sites_with_two_queues(latency_ms: float) -> Iterator[ServerWorld]:
    """The world: the urgent queue before the bulk queue, and the shards, all on one server."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        queue = f"sqs+{stack.enter_context(sqs_server(latency_ms))}/000000000000"
        server = stack.enter_context(running_postgresql(max_connections="60"))
        world = World(directory, f"{queue}/urgent", f"{queue}/responses", f"{queue}/failures")
        stack.callback(world.close)
        text = world.config_path.read_text().replace('lease = "9s"', 'lease = "120s"')
        text = text.replace("concurrency = 4", "concurrency = 8")
        text = text.replace(f'"{queue}/urgent"', f'"{queue}/urgent", "{queue}/bulk"')
        text = text.replace('"tests.support.handlers"', '"benchmarks.urgent_handlers"')
        text = "\n".join(line for line in text.splitlines() if "delay = " not in line)
        world.config_path.write_text(text + "\n")
        for number in range(SHARDS):
            server.create_database(f"s{number}")
        urls = {f"s{number}": server.url(f"s{number}") for number in range(SHARDS)}
        yield ServerWorld(world, [Place(name, url, url, "db.internal:5432", 4) for name, url in urls.items()])


@contextmanager
def bulk_queue(world: World) -> Iterator[Transport]:
    """The queue beside the world's own."""
    url = world.request_url.replace("/urgent", "/bulk")
    queue = open_transport(url, world.settings.queues, world.settings.worker.lease)
    queue.create()
    yield queue
    queue.close()


def send_bulk(sites: ServerWorld, queue: Transport, count: int, part_seconds: float) -> None:
    """Put all bulk jobs on their queue."""
    for first in range(0, count, SENT_TOGETHER):
        numbers = range(first, min(first + SENT_TOGETHER, count))
        bodies = [json.dumps(one_job(sites, f"bulk-{number}", number, part_seconds)) for number in numbers]
        if queue.send([Message(body) for body in bodies]):
            raise SystemExit("The stand-in did not take all bulk jobs.")


def one_job(sites: ServerWorld, job_id: str, number: int, part_seconds: float) -> dict[str, Any]:
    """A job of one customer and one row; the shards take turns."""
    places = list(sites.places.values())
    customers = [places[number % len(places)].customer]
    rows = [{"order_no": number}]
    return job(job_id, customers, rows=rows, type="orders.lasting", payload={"seconds": part_seconds})


@dataclass(frozen=True)
class Phase:
    """A time of measuring: when it began and ended, and the worker's CPU."""

    began: float
    ended: float
    cpu_seconds: float


def phase(worker: WorkerProcess, pass_time: Callable[[], None]) -> Phase:
    """Measure while time passes."""
    cpu_before, began = cpu_of(worker.process.pid), time.time()
    pass_time()
    return Phase(began, time.time(), cpu_of(worker.process.pid) - cpu_before)


def send_urgent(sites: ServerWorld, sent: dict[str, float], seconds: float) -> None:
    """One urgent job a second; when each was sent is noted before it is."""
    began = time.monotonic()
    for number in range(round(seconds)):
        time.sleep(max(0.0, began + number - time.monotonic()))
        job_id = f"urgent-{number}"
        sent[job_id] = time.time()
        sites.world.send(one_job(sites, job_id, number, 0.0))
    time.sleep(max(0.0, began + seconds - time.monotonic()))


def wait_for(answers: Answers, sent: dict[str, float]) -> None:
    """Give the last urgent jobs time to be answered."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not sent.keys() <= answers.at.keys() and time.monotonic() < deadline:
        time.sleep(0.1)


def report(answers: Answers, sent: dict[str, float], alone: Phase, beside: Phase) -> None:
    """Print the figures of a case."""
    waits = sorted(answers.at[job_id] - moment for job_id, moment in sent.items() if job_id in answers.at)
    print(f"  urgent jobs answered: {len(waits)} of {len(sent)}")
    if len(waits) > 1:
        parts = statistics.quantiles(waits, n=100, method="inclusive")
        figures = {"p50": parts[49], "p95": parts[94], "p99": parts[98], "max": waits[-1]}
        print("  from sent to answered: " + ", ".join(f"{k} {v * 1000:.0f} ms" for k, v in figures.items()))
    for name, one in {"alone": alone, "beside urgent jobs": beside}.items():
        rate = answers.bulk_rate(one.began, one.ended)
        cpu = one.cpu_seconds / (one.ended - one.began)
        print(f"  bulk {name}: {rate:.1f} jobs/s, worker's CPU {cpu * 100:.0f} % of a core", flush=True)


def print_steps(worker: WorkerProcess) -> None:
    """Where the urgent jobs' time went inside the worker, as their lines say."""
    lines = [line for line in worker.events("job.done") if line["job"].startswith("urgent")]
    figures = []
    for step in STEPS:
        parts = statistics.quantiles([line[step] for line in lines], n=20) if len(lines) > 1 else [0.0] * 19
        figures.append(f"{step} {parts[9]:.0f}/{parts[18]:.0f}")
    print("  of that, p50/p95: " + ", ".join(figures))


if __name__ == "__main__":
    main()
