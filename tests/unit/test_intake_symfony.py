"""Symfony's messages at the intake: an unknown class waits its grace, then it is refused, never lost."""

import json
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from config.stamps import NO_STAMPS, REDELIVERY
from config.symfony import Symfony
from handlers.contract import PartContext
from tests.support.core import Site
from tests.support.fakes import NOON
from tests.support.intake import rejection_of
from tests.support.jobs import inbox_rows, job_fields
from worker.conclusion import Answer, Bury, Return
from worker.transports.base import Attribute

CLASS = "App\\Message\\InsertOrder"
HEADERS = {"type": Attribute("String", CLASS)}
LONG_AGO = NOON - timedelta(minutes=11)
EXISTING: dict[str, Any] = {
    "jobId": "job-1",
    "partner": "acme",
    "customerId": "c-1",
    "order": {"order_no": 1},
}
FIELDS = {"jobId": "job_id", "partner": "partner_id", "customerId": "customers", "order": "payload"}


def read_symfony(site: Site, **section: Any) -> None:
    """Let the site read Symfony's messages so."""
    site.intake.apply(site.settings.model_copy(update={"symfony": Symfony(**section)}))


def test_a_message_of_an_existing_class_is_a_job(site: Site) -> None:
    """With its own fields, a body of which nothing is ours."""
    read_symfony(site, types={CLASS: "orders.insert"}, fields=FIELDS)
    conclusion = site.conclude(EXISTING, attributes=HEADERS)

    assert isinstance(conclusion, Answer)
    assert conclusion.status == "succeeded"
    assert [row["job_id"] for row in inbox_rows(site.path)] == ["job-1"]


def test_an_unknown_class_waits_for_a_worker_that_knows_it(site: Site) -> None:
    """The next release's configuration names it; nothing is answered until the grace is over."""
    read_symfony(site, fields=FIELDS)

    assert site.conclude(EXISTING, attributes=HEADERS) == Return(timedelta(seconds=30), "unknown_type")
    assert site.conclude({}, attributes=HEADERS) == Return(timedelta(seconds=30), "unknown_type")


def test_then_it_is_rejected_as_an_unknown_type(site: Site) -> None:
    """Where job id and partner can be read; the reason names the class."""
    read_symfony(site, fields=FIELDS)
    conclusion = site.conclude(EXISTING, attributes=HEADERS, sent_at=LONG_AGO)

    assert rejection_of(conclusion) == ("rejected", "unknown_type", "unknown_type")
    assert isinstance(conclusion, Answer)
    assert conclusion.dead_letter is not None
    assert "InsertOrder" in conclusion.dead_letter.message
    assert "InsertOrder" in json.loads(conclusion.body)["error"]["message"]


def test_where_nobody_can_be_answered_it_is_buried(site: Site) -> None:
    """On the failure queue, for a retry when the class has been named."""
    conclusion = site.conclude(EXISTING, attributes=HEADERS, sent_at=LONG_AGO)

    assert isinstance(conclusion, Bury)
    assert conclusion.dead_letter.code == "unknown_type"


def test_a_retry_from_the_failure_queue_waits_anew(site: Site) -> None:
    """Somebody has just asked for it."""
    header = {"first_sent_at": LONG_AGO.isoformat(), "retried_at": NOON.isoformat()}
    conclusion = site.conclude(EXISTING, attributes=HEADERS, header=header, sent_at=NOON)

    assert isinstance(conclusion, Return)


def test_a_message_with_the_ids_of_a_known_job_is_not_answered(site: Site) -> None:
    """The answer belongs to the job that came before, in whatever form."""
    site.answer(job_fields())
    read_symfony(site, fields=FIELDS)

    assert isinstance(site.conclude(EXISTING, attributes=HEADERS, sent_at=LONG_AGO), Bury)


@pytest.mark.parametrize("header", ["no json", "[]", "{", '{"X-Message-Stamp-A\\\\B": "{"}', "9" * 100_000])
def test_whatever_symfony_s_attribute_holds_the_job_runs(site: Site, header: str) -> None:
    """What cannot be read in a header is taken as if it were not there."""
    attributes = {"X-Symfony-Messenger": Attribute("String", header)}
    conclusion = site.conclude(job_fields(), attributes=attributes)

    assert isinstance(conclusion, Answer)
    assert conclusion.status == "succeeded"


def test_middleware_and_handlers_are_given_the_stamps(tmp_path: Path) -> None:
    """Of the message that the part came with."""
    seen: list[tuple[str, int]] = []

    def link(envelope: Any, next: Any) -> Any:  # noqa: A002 - Symfony's word for it
        seen.append(("middleware", envelope.stamps.retry_count))
        return next(envelope)

    def handler(payload: Any, context: PartContext) -> None:
        del payload
        seen.append(("handler", context.stamps.retry_count))

    stamps = NO_STAMPS.adding(REDELIVERY, {"retryCount": 2}).headers()
    with closing(Site(tmp_path, [link])) as site:
        site.handler = handler
        site.answer(attributes={"X-Symfony-Messenger": Attribute("String", json.dumps(stamps))})
        site.answer(job_fields(job_id="job-2"))

    assert seen == [("middleware", 2), ("handler", 2), ("middleware", 0), ("handler", 0)]
