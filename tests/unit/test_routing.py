"""Routing: age, type, customers, grants, attachments and expiry, in this order, and what waits."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.digest import part_digest
from config.headers import OwnHeader
from config.job import BadMessage
from shards.directory import DirectoryUnavailable, PlacementState
from tests.support.core import Site
from tests.support.fakes import NOON
from tests.support.jobs import envelope_of, held_of, job_fields, placement_of
from worker.conclusion import Answer, Bury, Conclusion, Deferral, Return
from worker.envelope import CLOCK_SKEW_MAXIMUM
from worker.refusal import Refuse
from worker.routing import Postpone, Router, TooOld, part_identities, wait_for
from worker.transports.base import Attribute


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    site = Site(tmp_path_factory.mktemp("site"))
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
        ({"dry_run": True}, "found ['eu1']"),
        ({"dry_run": True, "partner_id": "stranger"}, "not_granted"),
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
    ("header", "code"),
    [
        ({"first_sent_at": "9999-12-31T23:59:59Z"}, "too_old"),
        ({"renewed_at": "9000-01-01T00:00:00Z", "not_before": "9999-12-31T23:59:59-12:00"}, "too_old"),
        ({"renewed_at": "2026-12-11T12:00:00Z", "not_before": "9000-01-01T00:00:00Z"}, "unknown_type"),
    ],
)
def test_no_header_lets_a_message_circulate_for_ever(
    tmp_path: Path, header: dict[str, str], code: str
) -> None:
    """Forged, or of a clock that is wrong: it ends when it is older than outcomes are kept."""
    site = Site(tmp_path)
    site.pass_time(days=31)
    conclusion = site.conclude(job_fields(type="no.such"), header=header)
    site.close()

    assert code_of(conclusion) == code


@pytest.mark.parametrize(
    "header", [{"first_sent_at": "9999-12-31T23:59:59Z"}, {"retried_at": "9000-01-01T00:00:00Z"}]
)
def test_what_is_unknown_is_not_waited_for_longer_because_of_a_header(
    tmp_path: Path, header: dict[str, str]
) -> None:
    """It is refused when the message itself is older than the grace."""
    site = Site(tmp_path)
    site.pass_time(hours=1)
    code = code_of(site.conclude(job_fields(type="no.such"), header=header))
    site.close()

    assert code == "unknown_type"


def code_of(conclusion: Conclusion) -> str:
    """Why the message ends, or comes again."""
    if isinstance(conclusion, Return):
        return f"returned: {conclusion.code}"
    assert isinstance(conclusion, Answer | Bury)
    assert conclusion.dead_letter is not None
    return conclusion.dead_letter.code


YEARS = st.sampled_from(["0001-01-01", "2026-11-21", "2026-11-22", "9999-12-31"])
HOURS = st.sampled_from(["00:00:00", "12:04:59", "23:59:59.999999"])
ZONES = st.sampled_from(["", "Z", "+14:00", "-12:00", "+23:59", "-23:59"])
MOMENTS = st.builds("{}T{}{}".format, YEARS, HOURS, ZONES)
TEXTS = st.none() | st.integers() | st.text(max_size=5) | MOMENTS
HEADERS = st.dictionaries(st.sampled_from(OwnHeader.__struct_fields__), MOMENTS | TEXTS).map(
    json.dumps
) | st.text(max_size=30)
BODIES = st.fixed_dictionaries({}, optional={"submitted_at": MOMENTS, "run": st.integers(1, 3)})


@given(header=HEADERS, body=BODIES, sent_days_ago=st.integers(-1, 40))
def test_whatever_a_header_says_its_message_is_judged(
    router: Router, header: str, body: dict[str, Any], sent_days_ago: int
) -> None:
    """It is a job that is due, or is not yet, or is too old, or no job: never an error of the worker."""
    attributes = {"Shardworker": Attribute("String", header)}
    sent_at = NOON - timedelta(days=sent_days_ago)
    held = held_of(job_fields(type="no.such", **body), attributes=attributes, sent_at=sent_at)
    with suppress(BadMessage, TooOld, Postpone, Refuse):
        envelope = envelope_of(held)
        assert envelope.first_sent_at <= sent_at
        assert envelope.asked_at <= max(sent_at, NOON + CLOCK_SKEW_MAXIMUM)
        router.check_age(envelope)
        router.check_due(envelope)
        router.route(envelope)


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
