"""The executor: a part that may have killed its process has its starts counted, and runs alone."""

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from handlers.contract import PartContext, Reject, Retry
from shards.parts import StartedBefore
from tests.support.core import Site, insert_order
from tests.support.executing import code_of, locked, part_of, raising, run, the_row
from tests.support.jobs import inbox_rows, orders
from worker.conclusion import Deferral
from worker.job_in_hand import Part
from worker.reports import Away, Ended, Report

pytestmark = pytest.mark.usefixtures("quiet", "impatient")

SUSPECT: dict[str, Any] = {"receive_count": 5}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else is about to claim the part."""
    monkeypatch.setattr("worker.executor.START_SETTLES_SECONDS", 0.0)


def test_the_start_of_a_suspect_part_is_recorded_before_it_runs(site: Site) -> None:
    """So that a handler that kills its process is found out."""
    seen: list[Any] = []

    def handler(payload: Any, context: PartContext) -> Any:
        seen.extend(inbox_rows(site.path))
        return insert_order(payload, context)

    run(site, handler, **SUSPECT)

    assert [(row["state"], row["starts"]) for row in seen] == [("open", 1)]
    assert (the_row(site)["state"], orders(site.path)) == ("succeeded", [1])


class Killed(BaseException):
    """Stands for the end of the process: nothing after it runs."""


def test_a_part_that_killed_its_process_three_times_is_failed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fourth delivery finds three starts without an end: recorded, dead-lettered, not run."""

    def killed(*_: object) -> None:
        raise Killed

    def reported(_reports: object, _part: Part, action: Callable[[], Report]) -> object:
        try:
            return action()
        except StartedBefore as verdict:
            return verdict

    with monkeypatch.context() as patched:
        patched.setattr("worker.executor.Executor._take_back_unless_ended", killed)
        patched.setattr("worker.turn_reports.TurnReports.of", reported)
        for _ in range(3):
            part = part_of(site, **SUSPECT)
            with pytest.raises(Killed):
                site.executor.run(part)
            part.owner.part_deferred(part, Deferral(timedelta(), "killed"))
    report = run(site, lambda *_: pytest.fail("it was run"), **SUSPECT)

    assert code_of(report) == "worker_killed"
    assert isinstance(report, Ended)
    assert (report.outcome.dead_letter, orders(site.path)) == (True, [])


@pytest.mark.parametrize("error", [LookupError(), Retry(), Reject("own_code", "No.")])
def test_a_start_that_came_to_an_end_does_not_count(site: Site, error: Exception) -> None:
    """A failure is an end."""
    run(site, raising(error), **SUSPECT)

    assert the_row(site)["starts"] == (0 if the_row(site)["state"] == "open" else 1)


def test_a_start_is_taken_back_when_the_shard_is_busy_or_away(site: Site) -> None:
    """However often: waiting is no killing."""

    def lock_wait(_payload: Any, context: PartContext) -> Any:
        context.connection.exec_driver_sql("ROLLBACK")
        with locked(site):
            context.connection.exec_driver_sql("BEGIN IMMEDIATE")

    for _ in range(5):
        report = run(site, lock_wait, **SUSPECT)
        assert isinstance(report, Deferral)
        assert report.code == "busy"
        assert the_row(site)["starts"] == 0

    assert isinstance(run(site, **SUSPECT), Ended)


def test_a_start_that_could_not_be_taken_back_does_not_count_twice(site: Site) -> None:
    """The shard went away during the part: the probes that follow are the same start."""

    def lose(_payload: Any, _context: PartContext) -> Any:
        (site.path / "eu1.db").rename(site.path / "elsewhere")
        site.shards.get("eu1").close()
        raise sqlite_error()

    part = part_of(site, **SUSPECT)
    site.handler = lose
    for _ in range(5):
        assert site.executor.run(part) == Away()
        (site.path / "elsewhere").rename(site.path / "eu1.db")
        site.shards.get("eu1").close()
    site.handler = insert_order

    assert isinstance(site.executor.run(part), Ended)
    assert the_row(site)["state"] == "succeeded"


def test_a_part_is_not_blamed_for_shards_that_go_away_under_it(site: Site) -> None:
    """It goes back to its queue with a start that it owes, which is taken back when the shard answers."""

    def lose(_payload: Any, _context: PartContext) -> Any:
        (site.path / "eu1.db").rename(site.path / "elsewhere")
        site.shards.get("eu1").close()
        raise sqlite_error()

    for number in range(5):
        site.handler = lose
        part = part_of(site, **SUSPECT)
        assert site.executor.run(part) == Away()
        site.executor.defer(part)
        part.owner.part_deferred(part, Deferral(timedelta(), "shard_away"))
        (site.path / "elsewhere").rename(site.path / "eu1.db")
        site.shards.get("eu1").close()
        assert isinstance(run(site, job_id=f"other-{number}", payload={"order_no": 10 + number}), Ended)

    assert isinstance(run(site, **SUSPECT), Ended)
    assert {row["state"] for row in inbox_rows(site.path)} == {"succeeded"}


def sqlite_error() -> sqlite3.OperationalError:
    """The driver's error of a database file that cannot be opened."""
    error = sqlite3.OperationalError("unable to open database file")
    error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
    error.sqlite_errorname = "SQLITE_CANTOPEN"
    return error


def test_a_part_that_may_have_killed_its_process_waits_until_it_can_be_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start of it came to no end: while others run it is deferred, not counted and not started."""
    monkeypatch.setattr("worker.executor.ALONE_PATIENCE_SECONDS", 0.0)
    part = part_of(site, **SUSPECT)
    site.executor._store(part).count_start(part.identity, 3, b"")
    with site.executor._gate.together():
        report = site.executor.run(part)

    assert report == Deferral(timedelta(seconds=30), "busy")
    assert (the_row(site)["starts"], orders(site.path)) == (1, [])
    assert isinstance(site.executor.run(part), Ended)


def test_a_part_that_was_only_received_often_keeps_nobody_waiting(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shard was away or is locked: for that the rest of the process does not stand still."""
    monkeypatch.setattr(site.executor._gate, "alone", lambda _: pytest.fail("it wanted to be alone"))
    with site.executor._gate.together():
        with locked(site):
            assert isinstance(run(site, **SUSPECT), Deferral)
        assert isinstance(run(site, **SUSPECT), Ended)


def test_a_stop_does_not_wait_for_starts_to_settle(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The part is given back at once, and its starts stay as they are."""
    monkeypatch.setattr("worker.executor.START_SETTLES_SECONDS", 60.0)
    part = part_of(site, **SUSPECT)
    site.executor._store(part).count_start(part.identity, 3, b"")
    site.stop.set()

    assert site.executor.run(part) == Deferral(timedelta(), "shutdown")
    assert (the_row(site)["starts"], orders(site.path)) == (1, [])
