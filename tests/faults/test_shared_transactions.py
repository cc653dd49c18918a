"""A worker dies, or loses its connection, amid parts that share a transaction: each comes once."""

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.points import Point
from tests.support.crash_databases import CrashDatabases
from tests.support.race_site import Racer, RaceSite, race_site
from tests.support.world import job

TEN = range(1, 11)
SHARING = '[types."orders.insert"]\ngroup = 20'
ONE_BY_ONE = 'prepare_threads = 1\nack_linger = "20ms"\nresult_linger = "10ms"'
LEAST_TOGETHER = 8
"""The first part is of a type that does not share, and the last may not be in the lane yet."""


@contextmanager
def halted(
    directory: Path, databases: CrashDatabases, kind: str, point: Point
) -> Iterator[tuple[RaceSite, Racer]]:
    """Ten jobs, and a worker that stands still amid the transaction that most of them share."""
    with race_site(directory, databases.of(kind), extra=SHARING, worker=ONE_BY_ONE) as site:
        site.go_on()
        first, *others = ({"order_no": number} for number in TEN)
        site.send(
            site.slow_job("job-1", rows=[first]),
            *(job(f"job-{row['order_no']}", ["c-1"], rows=[row]) for row in others),
        )
        worker = site.start("--concurrency", "1", halt=point, passing=2, gathers=len(TEN))
        worker.wait_until_it_stands()
        yield site, worker


@pytest.mark.parametrize(
    ("kind", "point", "committed"),
    [
        ("postgresql", "after_claim", 1),
        ("mariadb", "before_commit", 1),
        ("postgresql", "after_commit", 1 + LEAST_TOGETHER),
    ],
)
def test_what_a_killed_worker_shared_is_all_there_or_not_at_all(
    tmp_path: Path, race_databases: CrashDatabases, kind: str, point: Point, committed: int
) -> None:
    """The next worker runs what is not there, each part by itself, and answers all."""
    with halted(tmp_path, race_databases, kind, point) as (site, victim):
        there = len(site.databases.order_numbers())
        assert there >= committed if point == "after_commit" else there == committed
        victim.signal(signal.SIGKILL)
        assert victim.wait() == -signal.SIGKILL
        site.end_leases()
        site.start_and_wait(1)

        assert_each_came_once(site)


def test_a_commit_that_fails_is_asked_for_part_by_part(
    tmp_path: Path, race_databases: CrashDatabases
) -> None:
    """The server has ended the session of the transaction: it had not arrived, and each part runs again."""
    with halted(tmp_path, race_databases, "mariadb", "before_commit") as (site, worker):
        assert site.databases.end_open_transactions() == 1
        worker.signal(signal.SIGCONT)

        assert_each_came_once(site)


def assert_each_came_once(site: RaceSite) -> None:
    """One effect, one answer, nothing counted, nothing on the failure queue."""
    site.wait_until_settled()
    assert site.databases.order_numbers() == list(TEN)
    statuses = Counter(answer["status"] for number in TEN for answer in site.answers(f"job-{number}"))
    assert statuses == {"succeeded": len(TEN)}
    assert (site.letters(), site.counts()) == ([], {(0, 0)})
