"""Routing: age, type, customers, grants, attachments and expiry, in this order, and what waits."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from config.digest import part_digest
from shards.directory import DirectoryUnavailable, PlacementState
from tests.support.core import Site
from tests.support.fakes import NOON
from tests.support.jobs import envelope_of, held_of, job_fields, placement_of
from worker.conclusion import Deferral
from worker.refusal import Refuse
from worker.routing import Postpone, Router, TooOld, part_identities, wait_for


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Router]:
    site = Site(tmp_path)
    yield site.intake._router
    site.close()


def route(router: Router, **fields: Any) -> str:
    """The code that a job is refused or postponed with; `found` when it has a way."""
    try:
        found = router.route(envelope_of(held_of(job_fields(**fields), sent_at=NOON - timedelta(hours=1))))
    except Refuse as refusal:
        return refusal.code
    except Postpone as postponed:
        return f"postponed: {postponed.deferral.code}"
    assert found.handler.job_type == "orders.insert"
    return f"found {sorted(placement.shard for placement in found.placements.values())}"


FOREIGN = {"name": "a", "bucket": "foreign", "key": "acme/a", "size": 1, "sha256": "0" * 64}
EXPIRED = {"expires_at": NOON.isoformat()}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "found ['eu1']"),
        ({"customers": ["c-3", "c-1"]}, "found ['eu1', 'eu2']"),
        ({"dry_run": True, "type": "unknown"}, "dry_run_unsupported"),
        ({"type": "unknown", "customers": ["unknown"]}, "unknown_type"),
        ({"customers": ["c-1", "unknown"], "partner_id": "stranger"}, "unknown_customer"),
        ({"partner_id": "stranger", **EXPIRED}, "not_granted"),
        ({"partner_id": "poor"}, "not_granted"),
        ({"attachments": [FOREIGN], **EXPIRED}, "attachment_not_allowed"),
        (EXPIRED, "expired"),
    ],
)
def test_a_job_is_refused_for_the_first_reason_there_is(
    router: Router, fields: dict[str, Any], code: str
) -> None:
    """Known before granted, granted before expired; so the same job is always refused alike."""
    assert route(router, **fields) == code


def test_a_refusal_names_what_is_unknown(router: Router) -> None:
    """And how many more there are; the sender can mend it."""
    with pytest.raises(Refuse, match=r"'x-1' \(2 of the job"):
        router.route(
            envelope_of(
                held_of(job_fields(customers=["c-1", "x-1", "x-2"]), sent_at=NOON - timedelta(hours=1))
            )
        )


def test_nothing_is_refused_while_the_directory_is_away(tmp_path: Path) -> None:
    """A customer that cannot be looked up is not an unknown one."""
    site = Site(tmp_path)
    site.directory.error = DirectoryUnavailable()

    assert route(site.intake._router) == "postponed: directory_away"


@pytest.mark.parametrize(
    ("age", "is_too_old"), [(timedelta(days=30), False), (timedelta(days=30, seconds=1), True)]
)
def test_a_job_is_too_old_when_its_inbox_row_may_have_been_removed(
    router: Router, age: timedelta, *, is_too_old: bool
) -> None:
    """To the second; the message says when it was first due and what to do."""
    envelope = envelope_of(held_of(job_fields(), sent_at=NOON - age))
    if is_too_old:
        with pytest.raises(TooOld, match=r"2026-10-22.*sending it as a new job"):
            router.check_age(envelope)
    else:
        router.check_age(envelope)


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (PlacementState.ACTIVE, None),
        (PlacementState.PAUSED, "customer_paused"),
        (PlacementState.MOVING, "customer_paused"),
        (PlacementState.GONE, None),
    ],
)
def test_a_part_waits_while_its_customer_is_paused_or_moves(state: PlacementState, code: str | None) -> None:
    """A customer that is gone is not waited for."""
    expected = None if code is None else Deferral(timedelta(seconds=30), code)

    assert wait_for(placement_of("c-1", state=state)) == expected


def test_the_identity_of_a_part_is_the_job_s_as_the_headers_say() -> None:
    """The run of the header, the type of the map, the digest of this customer's part."""
    held = held_of(job_fields(customers=["c-1", "c-2"], correlation_id="k"), header={"run": 4})
    envelope = envelope_of(held)
    request = envelope.job.part_requests()[1]
    identity = part_identities(envelope, envelope.job.part_requests())[1]

    assert (identity.job_id, identity.customer_id, identity.run) == ("job-1", "c-2", 4)
    assert (identity.part_no, identity.part_count, identity.correlation_id) == (1, 2, "k")
    assert identity.digest == part_digest(envelope.job, "orders.insert", request)
