"""Restarts under load count nothing: no attempt, no failure, and nothing is lost or done twice."""

import signal
from pathlib import Path
from typing import Any

from tests.support.crash_databases import CrashDatabases
from tests.support.race_site import RaceSite, race_site
from tests.support.sick_proxy import sick_proxy
from tests.support.world import job, wait_until

RESTARTS = 30
JOBS_EACH = 8
JOBS = RESTARTS * JOBS_EACH
LONG = "long"
AWAY_FROM, AWAY_UNTIL = 8, 16
KILLED_EACH = 5
OPTIONS = {
    "drain": "150ms",
    "retry": "max_attempts = 2",
    "worker": 'ack_linger = "20ms"\nresult_linger = "10ms"\nin_hand_max = 20',
}


def test_thirty_restarts_under_load_count_no_attempt(tmp_path: Path, race_databases: CrashDatabases) -> None:
    """A shard is away for a while, a customer paused, a lane full, and some are killed in their drain."""
    databases = race_databases.of("postgresql")
    assert databases.port is not None
    with sick_proxy(databases.port) as proxy:
        urls = {**databases.urls, "b": databases.urls_by(proxy.port)["b"]}
        with race_site(tmp_path, databases, urls, **OPTIONS) as site:
            site.configure(paused=True)
            site.send(site.slow_job(LONG, ["c-3"], rows=[{"order_no": JOBS}]))
            for restart in range(RESTARTS):
                if restart == AWAY_FROM:
                    proxy.refuse()
                if restart == AWAY_UNTIL:
                    proxy.heal()
                live_once(site, restart)
            finish(site)

            ids = [LONG, *(f"job-{number}" for number in range(JOBS))]
            assert site.databases.order_numbers() == list(range(JOBS + 1))
            assert [job_id for job_id in ids if len(site.answers(job_id)) != 1] == []
            assert {row["state"] for row in site.databases.inbox_rows()} == {"succeeded"}
            assert {row["attempt"] for row in site.databases.inbox_rows()} == {0}
            assert site.letters() == []


def live_once(site: RaceSite, restart: int) -> None:
    """A worker's life: jobs come, it is told to leave at its work, and may not get the time for it."""
    first = restart * JOBS_EACH
    site.send(*[one_of(number) for number in range(first, first + JOBS_EACH)])
    worker = site.start()
    begun = site.directory / f"started.{worker.process_id}.c-3"
    wait_until(begun.exists, "the long part to begin once more")
    worker.signal(signal.SIGTERM)
    if restart % KILLED_EACH == 0:
        worker.wait_for_event("worker.stopped")
        worker.process.kill()
    assert worker.wait() in {0, -signal.SIGKILL}
    site.end_leases()


def finish(site: RaceSite) -> None:
    """Resume the customer, let the long part end, and let two workers do what is left."""
    site.configure()
    site.go_on()
    last = site.start_and_wait(2)
    site.let_pass(60)
    site.wait_until_settled()
    assert [worker.stop() for worker in last] == [0, 0]


def one_of(number: int) -> dict[str, Any]:
    """One of the quick jobs, for each customer in turn."""
    return job(f"job-{number}", [f"c-{number % 4 + 1}"], rows=[{"order_no": number}])
