"""Signatures at the intake: what should be signed and is not goes to the failure queue, unanswered."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.core import Site
from tests.support.fakes import NOON
from tests.support.intake import rejection_of
from tests.support.jobs import inbox_rows, job_fields, orders
from tests.support.symfony_letters import CLASS, KEY, from_symfony, key_file
from worker.claim_check import POINTER_CLASS
from worker.conclusion import Answer, Bury, Return
from worker.symfony.signing import sign
from worker.transports.base import Attribute

BODY = json.dumps(job_fields())
HEADERS = {"type": CLASS}


@pytest.fixture
def signed_site(tmp_path: Path) -> Iterator[Site]:
    """A site at which the class's messages have to be signed."""
    symfony = {
        "types": {CLASS: "orders.insert"},
        "signed_types": [CLASS],
        "sign_key_files": [key_file(tmp_path)],
    }
    queues = {name: f"sql://{tmp_path}/queues.db?queue={name}" for name in ("response", "failure")}
    requests = [f"sql://{tmp_path}/queues.db?queue=requests"]
    checks = {"request": requests, **queues, "claim_check_buckets": ["checks"]}
    with closing(Site(tmp_path, symfony=symfony, queues=checks)) as site:
        yield site


def headers_in(headers: dict[str, str]) -> dict[str, Any]:
    return {"attributes": {name: Attribute("String", text) for name, text in headers.items()}}


def test_a_message_that_is_signed_right_runs(signed_site: Site) -> None:
    """By the application's key."""
    message = from_symfony(BODY, HEADERS, KEY)
    conclusion = signed_site.conclude(BODY, attributes=message.attributes)

    assert isinstance(conclusion, Answer)
    assert conclusion.status == "succeeded"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (BODY, HEADERS),
        (BODY, {**HEADERS, **sign(BODY, HEADERS, b"another key")}),
        (BODY, {**HEADERS, **sign(BODY, {"type": "App\\Harmless"}, KEY)}),
        (json.dumps(job_fields(payload={"order_no": 2})), {**HEADERS, **sign(BODY, HEADERS, KEY)}),
        (BODY, {}),
        (BODY, {"type": "App\\Unknown"}),
        ("no json", HEADERS),
        (json.dumps({"job_id": "job-1", "partner_id": "acme"}), HEADERS),
        ('O:8:"stdClass":0:{}', HEADERS),
    ],
    ids=[
        "without",
        "another key",
        "another class",
        "another body",
        "no class",
        "an unknown class",
        "no json",
        "no job",
        "of php",
    ],
)
def test_any_other_is_believed_in_nothing(signed_site: Site, body: str, headers: dict[str, str]) -> None:
    """No answer, though a job id can be read in it; no row; for the operator the reason and the code."""
    conclusion = signed_site.conclude(body, **headers_in(headers))

    assert isinstance(conclusion, Bury)
    assert conclusion.dead_letter.code == "bad_signature"
    assert signed_site.settled[-1].facts.identity is None
    assert (inbox_rows(signed_site.path), orders(signed_site.path)) == ([], [])


def test_who_is_not_asked_for_a_signature_goes_on_as_before(signed_site: Site) -> None:
    """Other job types, with classes or without."""
    conclusion = signed_site.conclude(job_fields(type="others.insert"), **headers_in({"type": "App\\Other"}))

    assert isinstance(conclusion, Return)
    assert conclusion.code == "unknown_type"


def test_a_body_by_claim_check_is_verified_itself(signed_site: Site) -> None:
    """The signature is that of the body, wherever it lies; the reference can be anybody's."""
    signed_site.objects.put("checks", "a", BODY.encode())
    signed_site.objects.put("checks", "b", json.dumps(job_fields(job_id="job-2")).encode())
    headers = headers_in({**HEADERS, **sign(BODY, HEADERS, KEY)})

    def conclusion(key: str) -> Answer | Bury:
        pointer = json.dumps([POINTER_CLASS, {"s3BucketName": "checks", "s3Key": key}])
        found = signed_site.conclude(pointer, **headers)
        assert isinstance(found, Answer | Bury)
        return found

    assert isinstance(conclusion("a"), Answer)
    assert isinstance(conclusion("b"), Bury)


def test_a_refusal_for_another_reason_is_answered_still(signed_site: Site) -> None:
    """A message that is signed right is believed: its sender is told what is wrong with it."""
    body = json.dumps(job_fields(customers=[]))
    message = from_symfony(body, HEADERS, KEY)
    conclusion = signed_site.conclude(body, attributes=message.attributes, sent_at=NOON)

    assert rejection_of(conclusion) == ("rejected", "bad_message", "bad_message")
