"""Dead letters for the tests of `shardworker failed`: put there, and read where they went."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from config.headers import OwnHeader, read_own_header
from tests.support.jobs import job_fields
from tests.support.site import Site, dead_letter
from worker.transports.base import Delivery

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
FAILED = OwnHeader(
    run=2,
    first_sent_at=NOW - timedelta(hours=1),
    origin="requests",
    reason="The table orders is missing.",
    code="schema_defect",
    attempt=5,
    instance="host:1",
    failed_at=NOW,
    answered=True,
)


def fail(site: Site, *job_ids: str, **header: Any) -> list[str]:
    """Put failed jobs on the failure queue; their ids there."""
    before = {message.message_id for message in site.waiting("failures")}
    for job_id in job_ids:
        now = datetime.now(UTC)
        told = {"run": 1, "origin": "requests", "code": "handler_error", "failed_at": now, "answered": True}
        body = json.dumps(job_fields(job_id=job_id))
        site.send("failures", dead_letter(body, OwnHeader(**{"first_sent_at": now, **told, **header})))
    return [one.message_id for one in site.waiting("failures") if one.message_id not in before]


def header_of(delivery: Delivery) -> OwnHeader:
    """What the worker wrote on a message."""
    return read_own_header(delivery.headers)


def jobs_on(site: Site, queue: str) -> list[str]:
    """The ids of the jobs that wait on a queue."""
    return [json.loads(delivery.body)["job_id"] for delivery in site.waiting(queue)]
