"""Races for one inbox row: many workers write to it at once, each with connections of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.points import Point, watchers
from shards.inbox import Outcome
from tests.support.crash_databases import KINDS, SERVERS, CrashDatabases
from tests.support.parts import identity
from tests.support.race_stores import RaceWorker, at_once, order_work, race_workers, suspect_part
from worker.executor import START_SETTLES_SECONDS
from worker.reports import Ended

JOBS = 6
PATIENCE_SECONDS = 60.0


@pytest.mark.parametrize("count", [2, 4, 16])
@pytest.mark.parametrize("kind", KINDS)
def test_workers_with_the_same_parts_run_each_once(
    tmp_path: Path, race_databases: CrashDatabases, kind: str, count: int
) -> None:
    """One part for all at once; then several, some of them tried before, each worker in its own order."""
    databases = race_databases.of(kind)
    with race_workers(tmp_path, databases, count) as workers:
        same = at_once(workers, lambda worker: run(worker, 0))
        for number in range(1, JOBS, 2):
            workers[0].store.count_attempt(identity(f"job-{number}"), 5, lambda _: b"")

        def run_all(worker: RaceWorker) -> list[Outcome]:
            order = [(number * 5 + worker.number) % JOBS for number in range(JOBS)]
            outcomes = {number: run(worker, number) for number in order}
            return [outcomes[number] for number in range(JOBS)]

        answers = at_once(workers, run_all)

    assert len(set(same)) == 1
    assert answers == [answers[0]] * count
    assert databases.order_numbers() == list(range(JOBS))
    assert {row["attempt"] for row in databases.inbox_rows()} == {0, 1}


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_written_at_once_there_is_one_outcome(
    tmp_path: Path, race_databases: CrashDatabases, kind: str
) -> None:
    """Runs, failures, attempts and starts of the same part: all that tell of an outcome tell of the same."""
    databases = race_databases.of(kind)
    part = identity()
    writes = [
        lambda store, number: store.run(part, order_work(1, b"run %d" % number)),
        lambda store, number: store.fail(part, b"failed %d" % number, dead_letter=False),
        lambda store, number: store.count_attempt(part, 2, lambda _: b"exhausted %d" % number),
        lambda store, number: store.count_start(part, 2, b"killed %d" % number),
    ]
    with race_workers(tmp_path, databases, 8) as workers:
        for _ in range(3):
            databases.clear()
            answers = at_once(workers, lambda worker: writes[worker.number % 4](worker.store, worker.number))
            answers.append(workers[0].store.run(part, order_work(1, b"at last")))
            (outcome,) = {answer for answer in answers if isinstance(answer, Outcome)}
            assert databases.order_numbers() == ([1] if outcome.state == "succeeded" else [])


@pytest.mark.parametrize("kind", SERVERS)
def test_copies_that_start_at_once_are_not_taken_for_deaths(
    tmp_path: Path, race_databases: CrashDatabases, kind: str
) -> None:
    """Sixteen copies of a suspect job: one start is counted, and the others wait for its claim."""
    databases = race_databases.of(kind)
    stop = SettlingStop(others=15)
    with race_workers(tmp_path, databases, 16, stop=stop) as workers, stop.watching():
        reports = at_once(workers, lambda worker: worker.executor.run(suspect_part()))

    outcomes = {report.outcome for report in reports if isinstance(report, Ended)}
    (row,) = databases.inbox_rows()
    assert [outcome.state for outcome in outcomes] == ["succeeded"]
    assert len(reports) == 16
    assert (databases.order_numbers(), row["attempt"], row["starts"]) == ([1], 0, 1)


def run(worker: RaceWorker, number: int) -> Outcome:
    """Deliver one of the jobs to a worker."""
    return worker.store.run(identity(f"job-{number}"), order_work(number, b"by %d" % worker.number))


class SettlingStop(threading.Event):
    """The stop event of workers: one counts its start, and claims when all others have found that out.

    The others wait for that start to settle for as long as it takes, not for some time.
    """

    def __init__(self, others: int) -> None:
        super().__init__()
        self._settling = threading.Barrier(others + 1, timeout=PATIENCE_SECONDS)
        self._claimed = threading.Event()
        self._is_first = threading.local()

    def wait(self, timeout: float | None = None) -> bool:
        """As an event's, but for a start that is to settle."""
        if timeout != START_SETTLES_SECONDS:
            return super().wait(timeout)
        self._settling.wait()
        assert self._claimed.wait(PATIENCE_SECONDS)
        return False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Told of what the workers pass."""
        watchers.append(self._watch)
        yield
        watchers.remove(self._watch)

    def _watch(self, point: Point) -> None:
        if point == "after_commit" and not self._claimed.is_set():
            self._is_first.here = True
            self._settling.wait()
        elif point == "after_claim" and getattr(self._is_first, "here", False):
            self._claimed.set()
