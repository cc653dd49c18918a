"""Servers that fall ill under load: their jobs wait uncounted and are done once, and the others go on."""

import itertools
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.support.postgresql import PostgreSQLServer, running_postgresql
from tests.support.server_world import Place, ServerWorld
from tests.support.sick_proxy import SickProxy, sick_proxy
from tests.support.world import WorkerProcess, World, job, wait_until

SICK = ("s0", "s1")
HEALTHY = ("s2", "s3", "s4")
SHARDS = SICK + HEALTHY
DATABASES = itertools.count()
Illness = Callable[[PostgreSQLServer, SickProxy], Callable[[], None]]


def refuse(_: PostgreSQLServer, proxy: SickProxy) -> Callable[[], None]:
    """Nobody listens; what was connected is cut."""
    proxy.refuse()
    return proxy.heal


def swallow(_: PostgreSQLServer, proxy: SickProxy) -> Callable[[], None]:
    """Connecting takes until the time-out; what was connected is silent."""
    proxy.swallow()
    return proxy.heal


def freeze(server: PostgreSQLServer, _: SickProxy) -> Callable[[], None]:
    """The server's processes stand still: its machine accepts connections, and nobody answers."""
    processes = server.processes()
    for process in processes:
        os.kill(process, signal.SIGSTOP)

    def thaw() -> None:
        for process in processes:
            with suppress(ProcessLookupError):  # one may have been about to end
                os.kill(process, signal.SIGCONT)

    return thaw


@pytest.fixture(scope="module", name="servers")
def start_servers() -> Iterator[tuple[PostgreSQLServer, PostgreSQLServer]]:
    """One that falls ill and one that does not."""
    with running_postgresql() as one, running_postgresql() as other:
        yield one, other


@contextmanager
def opened(
    directory: Path, servers: tuple[PostgreSQLServer, PostgreSQLServer], sick: tuple[str, ...], **options: str
) -> Iterator[tuple[ServerWorld, SickProxy]]:
    """A world in which the named shards share a server behind a proxy, and the others another one."""
    queue = f"sql://{directory}/queues.db?queue="
    world = World(directory, f"{queue}requests", f"{queue}responses", f"{queue}failures", options)
    with sick_proxy(servers[0].port) as proxy:
        places = []
        for name in SHARDS:
            server = servers[0] if name in sick else servers[1]
            database = f"{name}_{next(DATABASES)}"
            server.create_database(database)
            url = worker_url = server.url(database)
            if name in sick:
                worker_url = server.url(database, connect_seconds=2)
                worker_url = worker_url.replace(f":{server.port}/", f":{proxy.port}/")
            host = "db0" if name in SICK else "db1"
            places.append(Place(name, url, worker_url, host))
        try:
            yield ServerWorld(world, places), proxy
        finally:
            world.close()


def send(sites: ServerWorld, first: int, count: int) -> None:
    """So many jobs for each shard, numbered from `first`."""
    sites.world.send(
        *[
            job(f"{name}-{number}", [sites.places[name].customer], rows=[{"order_no": number}])
            for number in range(first, first + count)
            for name in SHARDS
        ]
    )


def assert_all_done_once(sites: ServerWorld, count: int) -> None:
    """Every job: one row, answered as succeeded, no attempt counted, nothing on the failure queue."""
    sites.world.wait_until_settled()
    assert [worker.stop() for worker in sites.world.workers] == [0] * len(sites.world.workers)
    for name in SHARDS:
        assert sites.rows(name) == dict.fromkeys(range(count), 1)
    assert answered(sites) == named(SHARDS, count)
    assert {result["status"] for result in sites.world.results()} == {"succeeded"}
    assert (sites.world.dead_letters(), sites.attempts()) == ([], 0)


def named(shards: Sequence[str], count: int) -> set[str]:
    """The ids of the first jobs of these shards."""
    return {f"{name}-{number}" for name in shards for number in range(count)}


def answered(sites: ServerWorld) -> set[str]:
    """The ids of the jobs that have their result."""
    return {result["job_id"] for result in sites.world.results()}


def events(workers: list[WorkerProcess], name: str) -> list[dict[str, object]]:
    """The lines of an event in all logs."""
    return [line for worker in workers for line in worker.events(name)]


@pytest.mark.parametrize(("fall_ill", "before"), [(refuse, 10), (swallow, 0), (freeze, 10)])
def test_one_shard_that_falls_ill_under_load_is_alone(
    tmp_path: Path, servers: tuple[PostgreSQLServer, PostgreSQLServer], fall_ill: Illness, before: int
) -> None:
    """Of five, with two workers: the others' jobs are all done meanwhile; its own once it is back."""
    with opened(tmp_path, servers, SICK[:1]) as (sites, proxy):
        workers = [sites.world.start_worker() for _ in range(2)]
        send(sites, 0, before)
        wait_until(lambda: answered(sites) == named(SHARDS, before), "the jobs before")
        heal = fall_ill(servers[0], proxy)
        try:
            send(sites, before, 20)
            others = named(SHARDS[1:], before + 20)
            wait_until(lambda: answered(sites) >= others, "the others' jobs")
            if not before:
                wait_until(lambda: bool(events(workers, "shard.away")), "the breaker to open")
            assert answered(sites) == others | named(SHARDS[:1], before)
        finally:
            heal()
        assert_all_done_once(sites, before + 20)
        assert not events(workers, "server.away")


def test_a_server_that_falls_ill_is_probed_once_for_all_its_shards(
    tmp_path: Path, servers: tuple[PostgreSQLServer, PostgreSQLServer]
) -> None:
    """Two shards tell of it. The log has a line for each probe, and none for each part."""
    with opened(tmp_path, servers, SICK) as (sites, proxy):
        worker = sites.world.start_worker()
        proxy.refuse()
        send(sites, 0, 30)
        wait_until(lambda: answered(sites) == named(HEALTHY, 30), "the others' jobs")
        away = worker.wait_for_event("server.away")
        wait_until(lambda: len(worker.events("shard.unanswered")) > 6, "some probes")
        proxy.heal()
        assert_all_done_once(sites, 30)

    assert (away["server"], away["shards"]) == ("db0", list(SICK))
    assert worker.events("server.back")
    assert len(worker.events("shard.unanswered")) < 30
    assert {line["customer"] for line in worker.events("shard.unanswered")} == {"c-s0", "c-s1"}


def test_a_slow_shard_does_not_fill_the_room(
    tmp_path: Path, servers: tuple[PostgreSQLServer, PostgreSQLServer]
) -> None:
    """Its table is locked and more of its jobs come than there is room for: the others go on all the same."""
    with opened(tmp_path, servers, (), worker="in_hand_max = 20") as (sites, _):
        slow = sites.places["s0"]
        engine = create_engine(slow.url)
        with engine.connect() as connection:
            connection.execute(text("LOCK TABLE orders"))
            worker = sites.world.start_worker()
            jobs = [
                job(f"s0-{number}", [slow.customer], rows=[{"order_no": number}]) for number in range(1, 60)
            ]
            sites.world.send(*jobs)
            wait_until(lambda: len(worker.events("job.released")) > 0, "the first to be given back")
            send(sites, 0, 1)
            wait_until(lambda: answered(sites) == named(SHARDS[1:], 1), "the others' jobs")
            connection.rollback()
        engine.dispose()
        sites.world.wait_until_settled()
        assert worker.stop() == 0

        assert sites.rows("s0") == dict.fromkeys(range(60), 1)
        assert (sites.world.dead_letters(), sites.attempts()) == ([], 0)
    assert {line["error_code"] for line in worker.events("job.released")} <= {"shard_busy", "busy"}
    assert not worker.events("shard.away")
