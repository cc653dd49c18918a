"""Messages as a Symfony application sends them, and two configurations that read them as jobs."""

import json
from typing import Any

import pytest

from config.job import BadMessage
from config.symfony import Symfony, SymfonyMessage
from tests.support.jobs import envelope_of, held_of
from worker.envelope import Envelope, Identity, readable_identity
from worker.transports.base import Attribute

CLASS = "App\\Message\\ImportJob"
NAMES = {"jobId": "job_id", "customerId": "customers", "partner": "partner_id", "rows": "payload"}
MAPPED = Symfony(types={CLASS: "orders.insert"}, fields=NAMES)
UNCHANGED = Symfony(
    messages={
        CLASS: SymfonyMessage(
            type="orders.insert",
            fields={"jobId": "job_id", "customerId": "customers", "*": "payload"},
            constants={"partner_id": "acme"},
        )
    }
)
IMPORT_JOB: dict[str, Any] = {
    "jobId": "job-1",
    "customerId": 42,
    "partner": "acme",
    "rows": [{"order_no": 1}],
}


def opened(
    symfony: Symfony,
    fields: dict[str, Any],
    class_name: str = CLASS,
    folded: dict[str, str] | None = None,
) -> Envelope:
    """The envelope of a message of a class, with these fields, and headers folded into one attribute."""
    headers = {"type": Attribute("String", class_name)}
    if folded is not None:
        headers["X-Symfony-Messenger"] = Attribute("String", json.dumps(folded))
    return envelope_of(held_of(fields, attributes=headers), symfony)


def refusal(symfony: Symfony, fields: dict[str, Any], class_name: str = CLASS) -> BadMessage:
    """Why the message is no job."""
    with pytest.raises(BadMessage) as raised:
        opened(symfony, fields, class_name)
    return raised.value


def identity(symfony: Symfony, fields: dict[str, Any], class_name: str = CLASS) -> Identity | None:
    """Who is answered when the message is refused."""
    held = held_of(fields, attributes={"type": Attribute("String", class_name)})
    return readable_identity(json.dumps(fields), held, symfony)
