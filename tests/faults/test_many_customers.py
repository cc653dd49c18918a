"""A job of many customers, one of whose shards is away: the others go on, and all is done and told once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest

from shards.catalog import Scope
from tests.support.many_customers import SHARDS, SICK, Site, many_customers
from tests.support.postgresql import running_postgresql
from tests.support.sick_proxy import SickProxy
from tests.support.world import WorkerProcess, wait_until, without_times

CUSTOMERS = 1000
NUMBERS = count(1)
Illness = Callable[[SickProxy], None]


@pytest.fixture(scope="module", name="site")
def open_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Twenty shards with 50 customers each, on a server that logs what it is asked."""
    directory = tmp_path_factory.mktemp("many")
    options = {"worker": 'running_interval = "1s"', "concurrency": "8"}
    with (
        running_postgresql(max_connections="110", log_statement="all") as server,
        many_customers(directory, server, CUSTOMERS, **options) as site,
    ):
        yield site


@pytest.fixture(name="number")
def number_a_job(site: Site) -> Iterator[int]:
    """A number for the test's job and its rows; afterwards no shard is given up."""
    yield next(NUMBERS)
    site.catalog.resume(Scope.SHARD, SICK)


@contextmanager
def ill(site: Site, fall_ill: Illness) -> Iterator[None]:
    """One shard is away meanwhile."""
    fall_ill(site.proxy)
    try:
        yield
    finally:
        site.proxy.heal()


def wait_for_the_others(site: Site, job_id: str) -> None:
    """Wait until a result says that all are done but the sick shard's customers, who wait."""
    waiting = site.customers[SICK]
    progress = {"done": CUSTOMERS - len(waiting), "total": CUSTOMERS}

    def told() -> bool:
        results = [one for one in site.world.running_results() if one["job_id"] == job_id]
        return any((one["progress"], one["waiting"]) == (progress, waiting) for one in results)

    wait_until(told, "the others and who waits")


def stop_when_settled(site: Site, worker: WorkerProcess) -> None:
    """Wait until the job is off its queue."""
    site.world.wait_until_settled()
    assert worker.stop() == 0


def finals(site: Site, job_id: str) -> list[dict[str, Any]]:
    """A job's final results: each with all of its customers in its order."""
    results = [one for one in site.world.results() if one["job_id"] == job_id]
    for result in results:
        assert [one["customer_id"] for one in result["customers"]] == site.all_customers
    return results


@pytest.mark.parametrize("fall_ill", [SickProxy.refuse, SickProxy.swallow])
def test_the_others_commit_while_one_shard_is_away_and_it_follows(
    site: Site, number: int, fall_ill: Illness
) -> None:
    """Its customers come first in the job. No attempt is counted, each row is there once, one result."""
    sent = site.job(number)
    with ill(site, fall_ill):
        site.world.send(sent)
        worker = site.world.start_worker()
        wait_for_the_others(site, sent["job_id"])
        others = [name for name in site.all_customers if name not in site.customers[SICK]]
        assert (site.rows(number), finals(site, sent["job_id"])) == (dict.fromkeys(others, 1), [])
    stop_when_settled(site, worker)

    assert [result["status"] for result in finals(site, sent["job_id"])] == ["succeeded"]
    assert site.rows(number) == dict.fromkeys(site.all_customers, 1)
    assert (site.world.dead_letters(), site.sites.attempts()) == ([], 0)
    assert {line["shard"] for line in worker.events("shard.unanswered")} == {SICK}


def test_a_shard_that_is_given_up_ends_its_customers_and_the_job(site: Site, number: int) -> None:
    """The others have succeeded, its own fail as gone, and the one result is there although it is away."""
    sent = site.job(number)
    with ill(site, SickProxy.refuse):
        site.world.send(sent)
        worker = site.world.start_worker()
        wait_for_the_others(site, sent["job_id"])
        site.catalog.give_up(Scope.SHARD, SICK)
        stop_when_settled(site, worker)

    (result,) = finals(site, sent["job_id"])
    gone = {one["customer_id"]: one["error"]["code"] for one in result["customers"] if "error" in one}
    assert (result["status"], gone) == ("partial", dict.fromkeys(site.customers[SICK], "customer_gone"))
    assert (site.world.dead_letters(), site.sites.attempts()) == ([], 0)


def test_a_job_that_was_done_costs_one_query_on_each_shard_when_it_comes_again(
    site: Site, number: int
) -> None:
    """Twenty questions in place of a thousand claims, and the same result."""
    sent = site.job(number)
    before = site.inbox_statements()
    site.world.send(sent)
    stop_when_settled(site, site.world.start_worker())
    first = site.inbox_statements()
    site.send_again(sent)
    stop_when_settled(site, site.world.start_worker())

    assert (first - before, site.inbox_statements() - first) == (2 * CUSTOMERS, SHARDS)
    one, again = (without_times(result) for result in finals(site, sent["job_id"]))
    assert one == again
    assert site.rows(number) == dict.fromkeys(site.all_customers, 1)
