"""The commands where messages are Symfony's: they are known by the names that the configuration gives."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.headers import OWN_ATTRIBUTE, OwnHeader, write_own_header
from config.job import decode_job
from tests.support.site import Site
from worker.transports.base import Attribute, Message

CLASS = "App\\Message\\InsertOrder"
SECTION = r"""
[symfony.messages."App\\Message\\InsertOrder"]
type = "orders.insert"
fields = { jobId = "job_id", customerId = "customers", "*" = "payload" }
constants = { partner_id = "acme" }
"""
BODY = json.dumps({"jobId": "job-1", "customerId": 42, "rows": [{"order_no": 1}]})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, extra=SECTION).set_up()


def fail(site: Site, first_sent_at: datetime) -> None:
    """Put a message of Symfony's on the failure queue, as the worker does."""
    header = OwnHeader(
        run=1,
        first_sent_at=first_sent_at,
        origin="requests",
        reason="The table orders is missing.",
        code="schema_defect",
        failed_at=first_sent_at,
        answered=True,
    )
    attributes = {
        "type": Attribute("String", CLASS),
        OWN_ATTRIBUTE: Attribute("String", write_own_header(header)),
    }
    site.send("failures", Message(BODY, attributes))


def test_a_failed_message_is_listed_by_its_job(site: Site) -> None:
    """Under the names of a job, its body as it came."""
    fail(site, datetime.now(UTC))
    entry = site.run_json("failed", "list")

    assert (entry["job_id"], entry["partner_id"], entry["type"]) == ("job-1", "acme", "orders.insert")
    assert BODY in site.run("failed", "show", entry["id"]).stdout


def test_a_job_is_explained_by_its_failed_message(site: Site) -> None:
    """Whoever looks for the job finds it."""
    fail(site, datetime.now(UTC))
    (found,) = site.run_json("explain", "job-1")["failed_messages"]

    assert found["code"] == "schema_defect"


@pytest.mark.parametrize(("age", "is_sent"), [(timedelta(days=1), True), (timedelta(days=31), False)])
def test_a_retry_knows_how_old_its_job_is(site: Site, age: timedelta, *, is_sent: bool) -> None:
    """What a worker would bury as too old is not sent."""
    fail(site, datetime.now(UTC) - age)
    result = site.run("failed", "retry", "--all", "--yes")

    assert (len(site.waiting("requests")), result.exit_code) == ((1, 0) if is_sent else (0, 1))


def test_a_message_s_body_can_be_submitted_as_the_job_that_it_is(site: Site) -> None:
    """In our own form: the same content as the message of that class."""
    result = site.run("submit", "--class", CLASS, "-", stdin=BODY)
    (message,) = site.waiting("requests")
    job = decode_job(message.body)

    assert (result.exit_code, result.stdout) == (0, "job-1\n")
    assert (job.type, job.partner_id, job.customer_ids) == ("orders.insert", "acme", ("42",))
    assert job.payload == {"rows": [{"order_no": 1}]}


def test_a_class_that_is_not_configured_is_not_submitted(site: Site) -> None:
    """The error names it."""
    result = site.run("submit", "--class", "App\\Other", "-", stdin=BODY)

    assert result.exit_code == 1
    assert "App\\\\Other" in result.stderr
    assert site.waiting("requests") == []
