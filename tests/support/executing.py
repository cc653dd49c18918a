"""Parts run by the executor of a site, one at a time, and what is left of them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

import msgspec

from handlers.contract import PartContext
from tests.support.core import Handler, Site, insert_order
from tests.support.jobs import inbox_rows, job_fields
from worker.conclusion import Deferral
from worker.job_in_hand import Part
from worker.reports import Ended, Report
from worker.tasks import PartTask


def part_of(site: Site, *, receive_count: int = 1, **fields: Any) -> Part:
    """A part in its lane; the job comes as the given receive."""
    site.take(job_fields(**fields), receive_count=receive_count)
    (_, task) = site.tasks.pop(0)
    assert isinstance(task, PartTask)
    return task.part


def run(site: Site, handler: Handler = insert_order, **fields: Any) -> Report:
    """The report of one delivery's part."""
    site.handler = handler
    part = part_of(site, **fields)
    report = site.executor.run(part)
    part.owner.part_deferred(part, Deferral(timedelta(), "the test has its report"))
    return report


def raising(error: BaseException) -> Handler:
    """A handler that writes an order and then fails."""

    def handler(payload: Any, context: PartContext) -> Any:
        insert_order(payload, context)
        raise error

    return handler


def the_row(site: Site) -> dict[str, Any]:
    (row,) = inbox_rows(site.path)
    return row


def code_of(report: Report) -> str:
    """The code of a failed outcome."""
    assert isinstance(report, Ended)
    assert report.outcome.state == "failed"
    return str(msgspec.json.decode(report.outcome.body)["error"]["code"])


@contextmanager
def locked(site: Site, shard: str = "eu1") -> Iterator[None]:
    """Another process writes to the shard."""
    with closing(sqlite3.connect(site.path / f"{shard}.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
