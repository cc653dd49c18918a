"""Races of what differs: another content under one job id, a lower run, a retry, and what failed for good."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.crash_databases import SERVERS, CrashDatabases
from tests.support.race_site import RaceSite, race_site
from tests.support.world import job

DROP_INDEX = {"postgresql": "DROP INDEX one_each", "mariadb": "DROP INDEX one_each ON orders"}
JOBS = 8


@pytest.mark.parametrize("kind", SERVERS)
def test_of_two_contents_at_once_one_is_run_and_answered(
    tmp_path: Path, race_databases: CrashDatabases, kind: str
) -> None:
    """To two workers in the same moment: the other content goes to the failure queue, unanswered."""
    contents = [
        job(f"job-{number}", ["c-1"], rows=[{"order_no": 10 * number + content}])
        for number in range(JOBS)
        for content in (1, 2)
    ]
    with race_site(tmp_path, race_databases.of(kind)) as site:
        site.start_and_wait(2)
        site.send(*contents)
        site.wait_until_settled()

        assert site.stop() == [0, 0]
        assert [number // 10 for number in site.databases.order_numbers()] == list(range(JOBS))
        assert site.letters() == [(f"job-{number}", "content_conflict") for number in range(JOBS)]
        for number in range(JOBS):
            assert [answer["status"] for answer in site.answers(f"job-{number}")] == ["succeeded"]


def test_another_content_leaves_the_job_that_runs_alone(
    tmp_path: Path, race_databases: CrashDatabases
) -> None:
    """It waits for the first one's end, conflicts with it, and conflicts again however often it comes."""
    with race_site(tmp_path, race_databases.of("postgresql")) as site:
        first, other = site.slow_job("one", rows=[order(1)]), site.slow_job("one", rows=[order(2)])
        site.send(first)
        site.start("--limit", "1")
        site.wait_for_start()
        (second,) = site.start_and_wait(1)
        site.send(other)
        second.wait_for_event("job.released")
        site.go_on()
        site.wait_until_settled()
        site.send(other, first)
        site.wait_until_settled()

        assert site.stop() == [0, 0]
        assert site.databases.order_numbers() == [1]
        assert len(list(tmp_path.glob("started.*"))) == 1
        assert [answer["status"] for answer in site.answers("one")] == ["succeeded"]
        assert site.letters() == [("one", "content_conflict")] * 2


@pytest.mark.parametrize("kind", SERVERS)
def test_a_failure_stays_one_until_a_higher_run_and_that_is_done_once(
    tmp_path: Path, race_databases: CrashDatabases, kind: str
) -> None:
    """What it failed for is gone: run 1 fails all the same, run 2 comes twice, then a late copy of run 1."""
    with race_site(tmp_path, race_databases.of(kind)) as site:
        with blocked(site):
            site.send(both())
            site.start_and_wait(2)
            site.wait_until_settled()
        site.send(both(), both())
        site.wait_until_settled()
        assert site.databases.order_numbers() == [7]
        (failed,) = site.answers("both")
        assert [part["status"] for part in failed["customers"]] == ["failed", "succeeded"]
        assert failed["customers"][0]["error"]["code"] == "unique_violation"

        site.send(both(run=2), both(run=2))
        site.wait_until_settled()
        answers = site.answers("both")
        sent = site.answers_sent()
        site.send(both(), both())
        site.wait_until_settled()

        assert site.stop() == [0, 0]
        assert site.answers_sent() == sent
        assert [(answer["run"], answer["status"]) for answer in answers] == [(1, "partial"), (2, "succeeded")]
        assert answers[1]["customers"][1] == failed["customers"][1]
        assert site.databases.order_numbers() == [7, 7]
        assert {row["customer_id"]: row["run"] for row in site.databases.inbox_rows()} == {"c-1": 2, "c-2": 1}
        assert (site.letters(), site.counts()) == ([], {(0, 0)})


@contextmanager
def blocked(site: RaceSite) -> Iterator[None]:
    """Have an order of this number on the first shard, where numbers are unique; then none of both."""
    site.databases.execute_on(
        "a",
        "CREATE UNIQUE INDEX one_each ON orders (order_no)",
        "INSERT INTO orders (order_no, customer_id) VALUES (7, 'c-1')",
    )
    try:
        yield
    finally:
        site.databases.execute_on("a", DROP_INDEX[site.databases.kind], "DELETE FROM orders")


def both(**fields: Any) -> dict[str, Any]:
    """A job of a customer on each shard."""
    return job("both", ["c-1", "c-2"], rows=[order(7)], **fields)


def order(number: int) -> dict[str, int]:
    """One row."""
    return {"order_no": number}
