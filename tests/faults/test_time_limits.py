"""Handlers that take longer than they may, in real workers on a real server."""

import itertools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.headers import read_own_header
from tests.e2e.test_once import go_on, slow_job, wait_for_start
from tests.support.lenient import VARIABLES
from tests.support.postgresql import PostgreSQLServer, running_postgresql
from tests.support.server_world import Place, ServerWorld
from tests.support.world import World, job, wait_until

SHARD = "eu1"
NUMBERS = itertools.count()
CUSTOMER = f"c-{SHARD}"
MakeSite = Callable[..., "Site"]
LIMITS = '[types."orders.slow"]\ntimeout = "1s"\n[types."orders.sleep"]\ntimeout = "1s"\n'


@pytest.fixture(scope="module", name="server")
def start_server() -> Iterator[PostgreSQLServer]:
    with running_postgresql() as server:
        yield server


@pytest.fixture(name="make_site")
def give_sites(tmp_path: Path, server: PostgreSQLServer) -> Iterator[MakeSite]:
    """Makes the test's site, with so many threads, attempts, and parts at once on the shard."""
    sites: list[Site] = []

    def make(concurrency: int, attempts: int, limit: int = 8) -> Site:
        sites.append(Site(tmp_path, server, concurrency, attempts, limit))
        return sites[-1]

    yield make
    for site in sites:
        site.world.close()


class Site:
    """A world with one shard on a server, where handlers have a second."""

    def __init__(
        self, directory: Path, server: PostgreSQLServer, concurrency: int, attempts: int, limit: int
    ) -> None:
        options = {
            "concurrency": str(concurrency),
            "retry": f"max_attempts = {attempts}",
            "extra": LIMITS,
        }
        queue = f"sql://{directory}/queues.db?queue="
        self.world = World(directory, f"{queue}requests", f"{queue}responses", f"{queue}failures", options)
        name = f"limits_{next(NUMBERS)}"
        server.create_database(name)
        url = server.url(name)
        self.shards = ServerWorld(self.world, [Place(SHARD, url, url, "db", limit)])

    def codes(self) -> dict[str, str]:
        """Each job's final error code."""
        return {
            result["job_id"]: result["customers"][0]["error"]["code"]
            for result in self.world.results()
            if result["status"] == "failed"
        }


def order(number: int) -> dict[str, Any]:
    """A job that inserts one order and is soon done."""
    return job(f"order-{number}", [CUSTOMER], rows=[{"order_no": number}])


def test_a_statement_without_end_is_cancelled_and_counted(make_site: MakeSite) -> None:
    """Each of its attempts ends after a second; then it has failed, nothing was written, all is well."""
    site = make_site(1, 2)
    site.world.send(job("sleeper", [CUSTOMER], type="orders.sleep", rows=[{"order_no": 1}]))
    site.world.send(order(2))
    worker = site.world.start_worker(**VARIABLES)
    site.world.wait_until_settled()
    assert worker.stop() == 0
    assert site.codes() == {"sleeper": "part_timeout"}
    (letter,) = site.world.dead_letters()
    header = read_own_header(letter.headers)
    assert (header.code, header.attempt) == ("part_timeout", 2)
    assert site.shards.rows(SHARD) == {2: 1}
    assert worker.events("worker.thread_given_up") == []


def test_a_handler_that_does_not_come_back_costs_its_thread_and_nothing_else(make_site: MakeSite) -> None:
    """It is given up: rolled back by the server, counted, reported with its stack; the others go on."""
    site = make_site(4, 1)
    site.world.send(slow_job(site.world, "stuck", [CUSTOMER], 1))
    worker = site.world.start_worker()
    wait_for_start(site.world)
    site.world.send(order(2))
    site.world.wait_until_settled()
    assert site.codes() == {"stuck": "part_timeout"}
    assert site.shards.rows(SHARD) == {2: 1}
    (line,) = worker.events("worker.thread_given_up")
    assert (line["job"], line["customer"]) == ("stuck", CUSTOMER)
    assert "insert_slowly" in line["stack"]
    go_on(site.world)
    site.world.send(
        *[job(f"later-{number}", [CUSTOMER], rows=[{"order_no": number}]) for number in range(3, 9)]
    )
    site.world.wait_until_settled()
    assert worker.stop() == 0
    assert site.shards.rows(SHARD) == dict.fromkeys(range(2, 9), 1)


def test_a_handler_that_comes_back_late_counts_as_one_attempt(make_site: MakeSite) -> None:
    """Its thread was given up and its attempt counted: what it ends in then is nobody's any more."""
    site = make_site(4, 2)
    site.world.send(slow_job(site.world, "stuck", [CUSTOMER], 1))
    worker = site.world.start_worker()
    assert worker.wait_for_event("job.released")["attempt"] == 1
    go_on(site.world)
    site.world.wait_until_settled()
    assert worker.stop() == 0
    assert [result["status"] for result in site.world.results()] == ["succeeded"]
    assert site.shards.rows(SHARD) == {1: 1}
    assert site.shards.attempts() == 1


def test_handlers_that_hang_leave_their_shard_its_connections(make_site: MakeSite) -> None:
    """As many hang as the shard lets run at once: they are cut, and the parts that follow find room."""
    site = make_site(6, 1, limit=2)
    site.world.send(*[slow_job(site.world, f"stuck-{number}", [CUSTOMER], number) for number in (1, 2)])
    worker = site.world.start_worker()
    wait_for_start(site.world)
    site.world.send(*[order(number) for number in range(3, 13)])
    site.world.wait_until_settled()
    assert site.codes() == dict.fromkeys(("stuck-1", "stuck-2"), "part_timeout")
    assert site.shards.rows(SHARD) == dict.fromkeys(range(3, 13), 1)
    assert worker.events("shard.away") == []
    go_on(site.world)
    assert worker.stop() == 0


def test_threads_that_hang_are_not_what_is_left_after_a_reload(make_site: MakeSite) -> None:
    """Two of four hang, and two are wanted from now on: the process leaves, rather than live without any."""
    site = make_site(4, 1)
    site.world.send(*[slow_job(site.world, f"stuck-{number}", [CUSTOMER], number) for number in (1, 2)])
    worker = site.world.start_worker()
    wait_until(lambda: len(worker.events("worker.thread_given_up")) == 2, "two threads that are given up")
    path = site.world.config_path
    path.write_text(path.read_text().replace("concurrency = 4", "concurrency = 2"))
    worker.signal(signal.SIGHUP)
    assert worker.wait() == 1
    assert worker.wait_for_event("worker.stopping")["reason"] == "most worker threads hang"


def test_a_worker_whose_threads_mostly_hang_leaves_to_be_started_again(make_site: MakeSite) -> None:
    """Status 1, which has a service manager start it anew; what it had in hand is settled or given back."""
    site = make_site(2, 1)
    stuck = [slow_job(site.world, f"stuck-{number}", [CUSTOMER], number) for number in (1, 2)]
    site.world.send(
        *stuck, *[job(f"job-{number}", [CUSTOMER], rows=[{"order_no": number}]) for number in (3, 4)]
    )
    first = site.world.start_worker()
    assert first.wait() == 1
    assert first.wait_for_event("worker.stopping")["reason"] == "most worker threads hang"
    second = site.world.start_worker()
    second.wait_for_event("worker.started")
    site.world.wait_until_settled()
    assert second.stop() == 0
    assert site.codes() == dict.fromkeys(("stuck-1", "stuck-2"), "part_timeout")
    assert site.shards.rows(SHARD) == {3: 1, 4: 1}
