"""One of 20 shards away for two minutes under steady load: what its own jobs and the others notice of it.

Run it with `make bench-sick`; it takes some ten minutes: the same load without a sick shard, then with one
behind a refused port, then with one in a black hole. The shards are databases on two private PostgreSQL
servers, named as four servers of five shards; the sick one is reached through a proxy. The black hole is a
listener with a full backlog; connections that were there fall silent and are cut after 30 s, as the
operating system does by `tcp_user_timeout` when nothing is acknowledged. SQS is the project's stand-in.
"""

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from benchmarks.small_jobs import cpu_of, sqs_server
from tests.support.postgresql import PostgreSQLServer, running_postgresql
from tests.support.server_world import Place, ServerWorld
from tests.support.sick_proxy import SickProxy, sick_proxy
from tests.support.world import WorkerProcess, World, job

SHARDS = 20
SHARDS_PER_SERVER = 5
SICK = "s00"
WARM_SECONDS = 10.0
SILENCE_SECONDS = 30.0
PATIENCE_SECONDS = 180.0
SHORT_WAIT = timedelta(seconds=1)


@dataclass
class Run:
    """What was sent and answered, when, in one of the runs; times are monotonic seconds."""

    sent_at: dict[str, float] = field(default_factory=dict)
    answered_at: dict[str, float] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    stop: threading.Event = field(default_factory=threading.Event)
    stop_sending: threading.Event = field(default_factory=threading.Event)
    cpu_seconds: float = 0.0
    away_from: float = 0.0
    away_until: float = 0.0

    def others_answered(self) -> int:
        """How many jobs of other shards were answered while the sick one was away."""
        return sum(
            self.away_from <= moment < self.away_until
            for job_id, moment in self.answered_at.items()
            if not job_id.startswith(SICK)
        )

    def others_waits(self) -> list[float]:
        """Their seconds from sent to answered."""
        return [
            self.answered_at[job_id] - sent
            for job_id, sent in self.sent_at.items()
            if not job_id.startswith(SICK)
            and self.away_from <= sent < self.away_until
            and job_id in self.answered_at
        ]


def main() -> None:
    """Run the three and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--away-seconds", type=float, default=120.0)
    parser.add_argument(
        "--rate", type=float, default=100.0, help="jobs sent each second, to all shards in turn"
    )
    options = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "eu-west-1"}
    healthy = measured(options.away_seconds, options.rate, "healthy", None)
    for name, fall_ill in {"refused port": refuse, "black hole": swallow}.items():
        sick = measured(options.away_seconds, options.rate, name, fall_ill)
        ratio = sick.others_answered() / healthy.others_answered()
        print(f"  others' throughput beside the healthy run: {ratio * 100:.1f} %")


def refuse(proxy: SickProxy) -> None:
    """Nobody listens."""
    proxy.refuse()


def swallow(proxy: SickProxy) -> None:
    """Nobody answers; in the end the operating system gives the old connections up."""
    proxy.swallow()
    threading.Timer(SILENCE_SECONDS, proxy.cut).start()


def measured(
    away_seconds: float, rate: float, name: str, fall_ill: Callable[[SickProxy], None] | None
) -> Run:
    """One run, on servers and queues of its own."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        queue = f"sqs+{stack.enter_context(sqs_server(0.0))}/000000000000"
        servers = [stack.enter_context(running_postgresql(max_connections="60")) for _ in range(2)]
        world = World(directory, f"{queue}/requests", f"{queue}/responses", f"{queue}/failures")
        stack.callback(world.close)
        set_options(world)
        proxy = stack.enter_context(sick_proxy(servers[0].port))
        sites = ServerWorld(world, places(servers, proxy))
        run = Run()
        worker = world.start_worker()
        worker.wait_for_event("worker.started")
        drive(run, sites, worker, rate, lambda: outage(run, away_seconds, proxy, fall_ill, worker))
        report(name, run, sites, worker, rate)
        return run


def set_options(world: World) -> None:
    """Run as a worker of production would: the default lease, delays and threads."""
    text = world.config_path.read_text().replace('lease = "9s"', 'lease = "120s"')
    text = text.replace("concurrency = 4", "concurrency = 8")
    for line in ("busy_delay", "away_base_delay", "away_max_delay", "probe_max_delay"):
        text = "\n".join(one for one in text.splitlines() if not one.startswith(line))
    world.config_path.write_text(text + "\n")


def places(servers: list[PostgreSQLServer], proxy: SickProxy) -> list[Place]:
    """The shards; the first is reached through the proxy."""
    made = []
    for number in range(SHARDS):
        server = servers[number % 2]
        name = f"s{number:02}"
        server.create_database(name)
        url = worker_url = server.url(name)
        if name == SICK:
            worker_url = server.url(name, connect_seconds=3).replace(f":{server.port}/", f":{proxy.port}/")
        made.append(Place(name, url, worker_url, f"db{number // SHARDS_PER_SERVER}.internal:5432"))
    return made


def drive(
    run: Run, sites: ServerWorld, worker: WorkerProcess, rate: float, outage: Callable[[], None]
) -> None:
    """Send and read results on threads of their own; the outage meanwhile; then wait for what is left."""
    threads = [
        threading.Thread(target=send_steadily, args=(run, sites, rate)),
        threading.Thread(target=read_results, args=(run, sites.world)),
    ]
    for thread in threads:
        thread.start()
    try:
        outage()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(run.answered_at) < len(run.sent_at) and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        run.stop_sending.set()
        run.stop.set()
        for thread in threads:
            thread.join()
    worker.stop()


def outage(
    run: Run,
    away_seconds: float,
    proxy: SickProxy,
    fall_ill: Callable[[SickProxy], None] | None,
    worker: WorkerProcess,
) -> None:
    """Let all be well for a while, then one shard be ill."""
    time.sleep(WARM_SECONDS)
    if fall_ill is not None:
        fall_ill(proxy)
    run.away_from, cpu_before = time.monotonic(), cpu_of(worker.process.pid)
    time.sleep(away_seconds)
    run.away_until, run.cpu_seconds = time.monotonic(), cpu_of(worker.process.pid) - cpu_before
    run.stop_sending.set()
    if fall_ill is not None:
        proxy.heal()


def send_steadily(run: Run, sites: ServerWorld, rate: float) -> None:
    """Ten jobs at a time, to all shards in turn."""
    names, number, due = list(sites.places), 0, time.monotonic()
    while not run.stop_sending.wait(max(0.0, due - time.monotonic())):
        jobs = []
        for _ in range(10):
            place = sites.places[names[number % len(names)]]
            jobs.append(job(f"{place.name}-{number}", [place.customer], rows=[{"order_no": number}]))
            number += 1
        now = time.monotonic()
        run.sent_at |= {one["job_id"]: now for one in jobs}
        sites.world.send(*jobs)
        due += 10 / rate


def read_results(run: Run, world: World) -> None:
    """Take every result from the response queue, and note when it came."""
    while not run.stop.is_set():
        deliveries = world.response.receive(10, SHORT_WAIT, timedelta(minutes=1))
        now = time.monotonic()
        for delivery in deliveries:
            result = json.loads(delivery.body)
            if result["status"] == "running":
                continue
            run.answered_at.setdefault(result["job_id"], now)
            run.statuses[result["status"]] += 1
        if deliveries:
            world.response.ack(deliveries)


def report(name: str, run: Run, sites: ServerWorld, worker: WorkerProcess, rate: float) -> None:
    """The figures of one run."""
    rows = {place: sites.rows(place) for place in sites.places}
    sick_jobs = [job_id for job_id in run.sent_at if job_id.startswith(SICK)]
    last = max((run.answered_at.get(job_id, float("inf")) for job_id in sick_jobs), default=0.0)
    waits = run.others_waits()
    count = run.others_answered()
    seconds = run.away_until - run.away_from
    lines = Counter(line["event"] for line in worker.log())
    stored = sum(sum(one.values()) for one in rows.values())
    distinct = sum(len(one) for one in rows.values())
    print(f"{name}: {len(run.sent_at)} jobs at {rate:.0f}/s, {len(sick_jobs)} of them for the shard {SICK}")
    print(f"  on the failure queue {len(sites.world.dead_letters())}, attempts counted {sites.attempts()}")
    print(f"  rows doubled {stored - distinct}, lost {len(run.sent_at) - distinct}; {dict(run.statuses)}")
    print(f"  all jobs of {SICK} answered {last - run.away_until:.1f} s after its return")
    print(f"  others: {count / seconds:.1f} jobs/s, {wait_figures(waits)}")
    print(f"  worker CPU per job of the others {run.cpu_seconds / max(count, 1) * 1000:.2f} ms")
    print(f"  lines {dict(lines)}", flush=True)


def wait_figures(waits: list[float]) -> str:
    """The median and the 99th percentile."""
    if not waits:
        return "none answered"
    median, high = statistics.median(waits), statistics.quantiles(waits, n=100)[98]
    return f"from sent to answered {median * 1000:.0f} ms in the median, {high * 1000:.0f} ms at 99 %"


if __name__ == "__main__":
    main()
