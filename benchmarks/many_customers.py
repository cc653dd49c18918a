"""One job of 5,000 customers on 20 shards, one of them away: how fast the others go on.

Run it with `make bench-customers`; it takes some two minutes. The shards are databases of one private
PostgreSQL, named as four servers of five shards; the sick one is reached through a proxy, and its customers
come first in the job. Each part inserts one row; the embedded queue carries the job. It runs with all shards
well, with one behind a refused port and with one in a black hole; then the first comes again, as if sent once
more. Speeds are read from the inboxes' own times. The server logs its statements, to count those on inboxes.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from benchmarks.small_jobs import cpu_of
from tests.support.many_customers import SICK, Site, many_customers
from tests.support.postgresql import running_postgresql
from tests.support.sick_proxy import SickProxy
from tests.support.world import WorkerProcess

LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 300.0
SPAN = text(
    "SELECT min(created_at), max(finished_at), count(*) FROM shardworker_inbox WHERE job_id = :of_job"
)

numbers = itertools.count(1)


def main() -> None:
    """Run the job in each way and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=5_000)
    parser.add_argument("--concurrency", type=int, default=8)
    options = parser.parse_args()
    settings = {"concurrency": str(options.concurrency), "worker": 'running_interval = "1s"'}
    settings |= {"lease": "120s"}
    with (
        tempfile.TemporaryDirectory() as directory,
        running_postgresql(max_connections="110", log_statement="all") as server,
        many_customers(Path(directory), server, options.customers, **settings) as site,
    ):
        run(site, "warm-up", None)
        first = run(site, "all well", None)
        run(site, "refused port", SickProxy.refuse)
        run(site, "black hole", SickProxy.swallow)
        repeat(site, first)


def run(site: Site, name: str, fall_ill: Callable[[SickProxy], None] | None) -> dict[str, Any]:
    """The job with one shard ill until the others are done; its figures."""
    sent = site.job(next(numbers))
    asked = site.inbox_statements()
    if fall_ill is not None:
        fall_ill(site.proxy)
    site.world.send(sent)
    worker = site.world.start_worker()
    if fall_ill is not None:
        await_or_fail(lambda: others_done(site, sent["job_id"]))
        site.proxy.heal()
    healed_at = time.monotonic()
    settle(site, worker)
    seconds, count = span(site, sent["job_id"])
    print(f"{name}: {count} parts of the 19 other shards, {count / seconds:.0f} a second")
    print(f"  all settled {time.monotonic() - healed_at:.1f} s after the end of that")
    report(site, worker, sent["job_id"], asked)
    return sent


def repeat(site: Site, sent: dict[str, Any]) -> None:
    """The same job again, as a worker sends one that has waited for very long."""
    asked = site.inbox_statements()
    site.send_again(sent)
    settle(site, site.world.start_worker())
    worker = site.world.workers[-1]
    print(f"a redelivery: {worker.events('job.done')[-1]['total_ms']:.0f} ms from its receipt to its end")
    report(site, worker, sent["job_id"], asked)


def settle(site: Site, worker: WorkerProcess) -> None:
    """Wait until the job is off its queue, and let the worker leave."""
    await_or_fail(lambda: site.world.request.depth() == (0, 0, 0))
    print(f"  worker CPU {cpu_of(worker.process.pid):.1f} s")
    worker.stop()


def others_done(site: Site, job_id: str) -> bool:
    """Whether a running result says that only the sick shard's customers are left."""
    left = len(site.customers[SICK])
    told = (one["progress"] for one in site.world.running_results() if one["job_id"] == job_id)
    return any(progress["total"] - progress["done"] == left for progress in told)


def span(site: Site, job_id: str) -> tuple[float, int]:
    """The seconds from the first claim to the last end on the shards that were well, and their parts."""
    spans = [query(site, name, job_id) for name in site.customers if name != SICK]
    first, last = min(one[0] for one in spans), max(one[1] for one in spans)
    return (last - first) / 1e6, sum(one[2] for one in spans)


def query(site: Site, shard: str, job_id: str) -> tuple[int, int, int]:
    """First claim, last end (both in microseconds) and number of a job's parts on a shard."""
    engine = create_engine(site.sites.places[shard].url)
    with engine.connect() as connection:
        first, last, count = connection.execute(SPAN, {"of_job": job_id}).one()
    engine.dispose()
    return first, last, count


def report(site: Site, worker: WorkerProcess, job_id: str, asked: int) -> None:
    """What holds in every run, and what the inboxes were asked."""
    finals = [one["status"] for one in site.world.results() if one["job_id"] == job_id]
    deliveries = len(worker.events("job.released")) + len(worker.events("job.done"))
    print(f"  statements on inboxes {site.inbox_statements() - asked}, deliveries {deliveries}, {finals}")
    print(f"  attempts counted {site.sites.attempts()}, dead letters {len(site.world.dead_letters())}")
    print(f"  questions that were not answered {len(worker.events('shard.unanswered'))}", flush=True)


def await_or_fail(condition: Callable[[], bool]) -> None:
    """Look every half second, so that little is taken from the worker, until the condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main()
