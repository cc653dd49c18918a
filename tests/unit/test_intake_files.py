"""The intake and the buckets: bodies by claim check, and attachments fetched for as long as they are used."""

import json
from pathlib import Path
from typing import Any

import pytest

from shards.directory import PlacementState
from tests.support.core import Site
from tests.support.intake import attachment, rejection, three_customers
from tests.support.jobs import inbox_rows, job_fields
from worker.attachments import AttachmentsUnavailable
from worker.conclusion import Bury, Return
from worker.objects import ObjectStoreUnavailable

BUCKETS = {"claim_check_buckets": ["checks"]}


def pointer(bucket: str = "checks", key: str = "jobs/1.json") -> str:
    return json.dumps(
        ["software.amazon.payloadoffloading.PayloadS3Pointer", {"s3BucketName": bucket, "s3Key": key}]
    )


def test_an_attachment_outside_the_partner_s_prefix_is_refused(site: Site) -> None:
    """Before anything is fetched."""
    foreign = {**attachment(site), "key": "other/lines.csv"}

    assert rejection(site, attachments=[foreign])[1] == "attachment_not_allowed"


def test_a_body_by_claim_check_is_read_from_its_bucket(tmp_path: Path) -> None:
    """And the object stays where it is."""
    site = claim_check_site(tmp_path)
    site.objects.put("checks", "jobs/1.json", json.dumps(job_fields()).encode())

    assert site.answer(pointer())["status"] == "succeeded"
    assert ("checks", "jobs/1.json") in site.objects.objects


def claim_check_site(path: Path) -> Site:
    queues = {
        "request": [f"sql://{path}/queues.db?queue=requests"],
        "response": f"sql://{path}/queues.db?queue=response",
        "failure": f"sql://{path}/queues.db?queue=failure",
    }
    return Site(path, queues={**queues, **BUCKETS})


@pytest.mark.parametrize("body", [pointer(), pointer(bucket="foreign")])
def test_a_claim_check_that_leads_nowhere_is_buried(tmp_path: Path, body: str) -> None:
    """Missing, or in a bucket that is not allowed: nobody is known who could be answered."""
    conclusion = claim_check_site(tmp_path).conclude(body)

    assert isinstance(conclusion, Bury)
    assert conclusion.dead_letter.code == "claim_check_failed"


def test_a_message_waits_while_the_bucket_of_its_claim_check_is_away(tmp_path: Path) -> None:
    """Longer with each receive."""
    site = claim_check_site(tmp_path)
    site.objects.error = ObjectStoreUnavailable("SlowDown", "later")
    first, later = site.conclude(pointer()), site.conclude(pointer(), receive_count=4)

    assert isinstance(first, Return)
    assert isinstance(later, Return)
    assert (first.code, later.after) == ("SlowDown", first.after * 8)


def test_an_attachment_is_there_verified_when_the_handler_runs_and_removed_afterwards(site: Site) -> None:
    """Fetched once for all parts of the job."""
    seen: list[bytes] = []
    paths: list[Path] = []

    def handler(_payload: Any, context: Any) -> None:
        local = context.attachments["lines.csv"]
        paths.append(local.path)
        with local.open() as stream:
            seen.append(stream.read())

    site.handler = handler
    site.answer(three_customers(attachments=[attachment(site)]))

    assert seen == [b"a,b\n"] * 3
    assert len(set(paths)) == 1
    assert not paths[0].exists()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"sha256": "0" * 64}, "attachment_mismatch"),
        ({"size": 3}, "attachment_mismatch"),
        ({"key": "acme/elsewhere"}, "attachment_missing"),
        ({"size": 10**12}, "attachment_too_large"),
    ],
)
def test_an_attachment_s_fault_fails_the_parts_that_use_it(
    site: Site, fault: dict[str, Any], code: str
) -> None:
    """For good, recorded; the other customers' parts run."""
    bad, good = attachment(site, "bad.csv", **fault), attachment(site, "good.csv")
    customers = [
        {"customer_id": "c-1", "attachments": ["bad.csv"]},
        {"customer_id": "c-2", "attachments": []},
        {"customer_id": "c-3", "attachments": ["good.csv"]},
    ]
    site.handler = lambda _payload, _context: None
    result = site.answer(job_fields(customers=customers, attachments=[bad, good]))

    assert [entry.get("error", {}).get("code") for entry in result["customers"]] == [code, None, None]
    assert inbox_rows(site.path)[0]["state"] == "failed"


def test_a_job_waits_while_its_attachments_cannot_be_had(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """No attempt is counted, no part is run."""

    def unavailable(*_: object) -> None:
        raise AttachmentsUnavailable("no_disk_space", "later")

    monkeypatch.setattr(site.fetcher, "fetch", unavailable)
    conclusion = site.conclude(job_fields(attachments=[attachment(site)]))

    assert isinstance(conclusion, Return)
    assert (conclusion.code, site.offered, inbox_rows(site.path)) == ("no_disk_space", [], [])


def test_an_attachment_of_a_customer_that_is_gone_is_not_fetched(site: Site) -> None:
    """Nobody needs it."""
    site.directory.set_state("c-1", PlacementState.GONE)
    missing = attachment(site, key="acme/nowhere")

    assert site.answer(job_fields(attachments=[missing]))["customers"][0]["error"]["code"] == "customer_gone"


def test_an_attachment_of_a_customer_that_is_paused_is_not_fetched_yet(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its job comes every half minute for as long as the pause takes."""
    site.directory.set_state("c-1", PlacementState.PAUSED)
    fetched: list[object] = []
    monkeypatch.setattr(site.fetcher, "fetch", lambda *asked: fetched.append(asked))

    conclusion = site.conclude(job_fields(attachments=[attachment(site)]))

    assert isinstance(conclusion, Return)
    assert (conclusion.code, fetched) == ("customer_paused", [])
