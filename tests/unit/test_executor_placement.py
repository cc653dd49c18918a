"""The executor where customers have placement rows: a part that comes to the old place is routed anew."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert
from structlog.testing import capture_logs

from shards.placement_rows import placement_rows
from tests.support.core import Site
from tests.support.executing import part_of, raising, run
from tests.support.jobs import inbox_rows, orders
from worker.conclusion import Deferral
from worker.reports import Ended

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(name="placed")
def make_placed_site(tmp_path: Path) -> Site:
    """A site whose customer `c-1` has a placement row, active with the directory's epoch."""
    site = Site(tmp_path, directory={"placement_rows": True})
    shard = site.shards.get("eu1")
    with shard.connect() as connection, connection.begin():
        placement_rows.create(connection, checkfirst=True)
        epoch = site.directory.placements["c-1"].epoch
        row = {"customer_id": "c-1", "epoch": epoch, "state": "active"}
        connection.execute(insert(placement_rows), row)
    return site


def test_a_part_runs_where_its_customer_is_active(placed: Site) -> None:
    """The check changes nothing where the directory is right."""
    assert isinstance(run(placed), Ended)
    assert (orders(placed.path), placed.directory.forgotten) == ([1], [])


def test_a_part_at_an_old_place_waits_a_second_and_is_routed_anew(placed: Site) -> None:
    """The directory forgets the customer, the operator is told, and nothing is counted."""
    execute(placed, "UPDATE shardworker_placement SET epoch = epoch + 1")
    with capture_logs() as lines:
        report = run(placed)

    assert isinstance(report, Deferral)
    assert (report.code, report.attempt) == ("placement_stale", 0)
    assert timedelta(seconds=0.5) <= report.after <= timedelta(seconds=1)
    assert placed.directory.forgotten == ["c-1"]
    (line,) = (line for line in lines if line["event"] == "placement.stale")
    assert (line["log_level"], line["customer"], line["shard"]) == ("warning", "c-1", "eu1")
    assert (orders(placed.path), inbox_rows(placed.path)) == ([], [])


@pytest.mark.parametrize("receive_count", [1, 5])
def test_a_failure_is_not_recorded_at_an_old_place(placed: Site, receive_count: int) -> None:
    """The customer moved while its part was failing, or before a suspect's start was counted."""
    placed.handler = raising(ValueError("unexpected"))
    part = part_of(placed, receive_count=receive_count)
    execute(placed, "DELETE FROM shardworker_placement")
    report = placed.executor.run(part)
    part.owner.part_deferred(part, Deferral(timedelta(), "the test has its report"))

    assert isinstance(report, Deferral)
    assert report.code == "placement_stale"
    assert inbox_rows(placed.path) == []


def execute(site: Site, statement: str) -> None:
    """Run a statement on the shard of `c-1`."""
    with closing(sqlite3.connect(site.path / "eu1.db")) as connection, connection:
        connection.execute(statement)
