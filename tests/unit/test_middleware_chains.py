"""Chains of links that do anything at all: what is reported is what is stored, and happens once."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from handlers import Middleware, Next, Outcome, PartContext, PartEnvelope, Reject, Retry
from shards import failure_codes
from shards.failures import KnownFailure, failure_of
from tests.support.core import Site
from tests.support.executing import part_of
from tests.support.jobs import inbox_rows
from worker.conclusion import Deferral
from worker.reports import Ended, Report

ERRORS: dict[str, Callable[[], BaseException]] = {
    "reject": lambda: Reject("own_code", "No."),
    "retry": Retry,
    "unexpected": LookupError,
    "exit": lambda: SystemExit(1),
    "own database away": lambda: OperationalError("SELECT 1", {}, sqlite3.OperationalError("unable to open")),
    "deadlock": lambda: KnownFailure(failure_of(failure_codes.CONFLICT)),
}
RETURNED: dict[str, Any] = {
    "nothing": None,
    "text": "done",
    "success": Outcome("succeeded", 1, b"{}"),
    "failure": Outcome("failed", 1, b"{}", dead_letter=True),
}

some_error = st.none() | st.sampled_from(sorted(ERRORS))


@dataclass(frozen=True)
class Plan:
    """What one link does: an error before, going on so often, with errors hidden or not, an error after."""

    before: str | None
    goes_on: tuple[bool, ...]
    after: str | None
    returned: str

    def link(self) -> Middleware:
        """The link."""

        def link(envelope: PartEnvelope, next: Next) -> Outcome:  # noqa: A002 - Symfony's word for it
            _raise(self.before)
            for hides in self.goes_on:
                try:
                    next(envelope)
                except BaseException:
                    if not hides:
                        raise
            _raise(self.after)
            return RETURNED[self.returned]  # type: ignore[no-any-return]  # that is what is tested

        return link


plans = st.builds(
    Plan,
    before=some_error,
    goes_on=st.lists(st.booleans(), max_size=3).map(tuple),
    after=some_error,
    returned=st.sampled_from(sorted(RETURNED)),
)
chains = st.lists(plans, max_size=4)
handlers = st.lists(some_error, max_size=6)
"""What each call of the handler ends in; it succeeds from then on."""


def _raise(name: str | None) -> None:
    if name is not None:
        error = ERRORS[name]()
        raise error


class Ledger:
    """A site with a table that takes the same effect as often as it comes, and whatever links it is given."""

    def __init__(self, directory: Path) -> None:
        self.links: list[Middleware] = []
        self.site = Site(directory, self.links, retry={"max_attempts": 2, "transaction_tries": 2})
        self.count = 0
        with closing(sqlite3.connect(directory / "eu1.db")) as connection:
            connection.execute("CREATE TABLE effects (job_id TEXT)")

    def run(self, job_id: str, links: list[Middleware], ends: list[str | None]) -> Report:
        """The report of one delivery."""
        left = list(ends)

        def handler(_payload: Any, context: PartContext) -> None:
            context.connection.execute(text("INSERT INTO effects VALUES (:job)"), {"job": context.job.job_id})
            _raise(left.pop(0) if left else None)

        self.site.handler = handler
        self.links[:] = links
        part = part_of(self.site, job_id=job_id)
        with capture_logs():  # expected errors are not printed with their stacks, which takes long
            report = self.site.executor.run(part)
        part.owner.part_deferred(part, Deferral(timedelta(), "the test has its report"))
        return report

    def effects(self, job_id: str) -> int:
        """How often the job's effect is there."""
        with closing(sqlite3.connect(self.site.path / "eu1.db")) as connection:
            found = connection.execute("SELECT count(*) FROM effects WHERE job_id = ?", (job_id,))
            return int(found.fetchone()[0])

    def row(self, job_id: str) -> dict[str, Any] | None:
        """The part's row in the inbox."""
        rows = (row for row in inbox_rows(self.site.path) if row["job_id"] == job_id)
        return next(rows, None)


@pytest.fixture(name="ledger", scope="module")
def make_ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path_factory.mktemp("ledger"))
    yield ledger
    ledger.site.close()


def agree(ledger: Ledger, job_id: str, report: Report) -> None:
    """What was reported is what is stored."""
    row, effects = ledger.row(job_id), ledger.effects(job_id)
    if isinstance(report, Ended):
        assert row is not None
        assert (row["state"], row["outcome"]) == (report.outcome.state, report.outcome.body)
        assert effects == (report.outcome.state == "succeeded")
    else:
        assert isinstance(report, Deferral)
        assert row is None or row["state"] == "open"
        assert effects == 0


@settings(max_examples=150, deadline=None)
@given(chain=chains, ends=handlers)
def test_what_is_reported_is_what_is_stored_whatever_links_do(
    ledger: Ledger, chain: list[Plan], ends: list[str | None]
) -> None:
    """And a copy without those links gets the outcome that is there, or runs the part, once."""
    ledger.count += 1
    job_id = f"job-{ledger.count}"
    report = ledger.run(job_id, [plan.link() for plan in chain], ends)
    agree(ledger, job_id, report)

    copy = ledger.run(job_id, [], [])
    agree(ledger, job_id, copy)
    assert isinstance(copy, Ended)
    if isinstance(report, Ended):
        assert copy == report
