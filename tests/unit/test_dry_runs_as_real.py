"""A dry run tells what the real job right after it comes to, and changes not a byte: any job, good or bad."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import bindparam, text

from handlers.contract import PartContext, Reject
from tests.support.core import Site
from tests.support.jobs import job_fields

LINES = """
CREATE TABLE lines (line_no INTEGER PRIMARY KEY CHECK (line_no < 9), order_no INTEGER NOT NULL
    REFERENCES orders (order_no) DEFERRABLE INITIALLY DEFERRED)
"""
STATEMENTS = {
    "order": text("INSERT INTO orders VALUES (:number)"),
    "line": text("INSERT INTO lines VALUES (:number, 3)"),
    "half a line": text("INSERT INTO lines (line_no) VALUES (:number)"),
    "no order": text("DELETE FROM orders WHERE order_no = :number"),
    "others": text("UPDATE lines SET order_no = :number"),
    "nothing": text("SELECT :number").bindparams(bindparam("number", 0)),
}
STEPS = st.tuples(st.sampled_from([*STATEMENTS, "reject", "bad result"]), st.integers(1, 10))
PAYLOADS = st.lists(STEPS, max_size=4)
DATABASES = ("eu1", "eu2")


def follow_steps(payload: Any, context: PartContext) -> Any:
    """A handler that does what it is told, step by step."""
    for step, number in payload:
        if step == "reject":
            raise Reject("as_told", "It was told to.")
        if step == "bad result":
            return object()
        context.connection.execute(STATEMENTS[step], {"number": number})
    return len(payload)


@pytest.fixture(scope="module")
def told_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    site.handler = follow_steps
    for name in DATABASES:
        with closing(sqlite3.connect(site.path / f"{name}.db")) as connection, connection:
            connection.execute(LINES)
    yield site
    site.close()


def everything(directory: Path) -> list[str]:
    """All that stands in all tables of all shards, the inbox and the schema among them."""
    lines: list[str] = []
    for name in DATABASES:
        with closing(sqlite3.connect(directory / f"{name}.db")) as connection:
            lines += connection.iterdump()
    return lines


def ends(result: dict[str, Any]) -> Any:
    """What does not say that it was only asked: the status, and each customer's end."""
    customers = [{**customer, "changes": None} for customer in result["customers"]]
    return result["status"], customers


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payloads=st.fixed_dictionaries({"c-1": PAYLOADS, "c-3": PAYLOADS}))
def test_a_dry_run_is_answered_as_the_real_job_right_after_it(
    told_site: Site, payloads: dict[str, list[tuple[str, int]]], quiet: None
) -> None:
    """For customers on shards of their own, whose rows are what the jobs before have left."""
    del quiet
    number = len(told_site.settled)
    entries = [{"customer_id": name, "payload": payload} for name, payload in payloads.items()]
    job = job_fields(job_id=f"job-{number}", customers=entries)

    before = everything(told_site.path)
    dry = told_site.answer({**job, "dry_run": True})
    assert everything(told_site.path) == before
    assert ends(dry) == ends(told_site.answer(job))
