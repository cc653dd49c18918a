"""The intake's returns: a delivery that cannot go on goes back, also after an error that nobody expected."""

from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from shards.engines import UnknownShard
from tests.support.core import AWAY, Site
from tests.support.fakes import NOON
from tests.support.intake import attachment, rejection_of
from tests.support.jobs import job_fields, placement_of
from worker.conclusion import Answer, Bury, Conclusion, Deferral, Return
from worker.defects import DEFECTS_MAXIMUM, RECEIVES_MINIMUM, Defects
from worker.lanes import SHUTDOWN


@pytest.mark.parametrize("deferral", [AWAY, SHUTDOWN])
@pytest.mark.parametrize("fields", [{}, {"expires_at": NOON.isoformat()}, {"attachments": "no list"}])
def test_a_job_that_its_lane_does_not_take_is_returned(
    site: Site, fields: dict[str, Any], deferral: Deferral
) -> None:
    """For as long as the lane says: at once for a stop; also where it is only looked up."""
    site.refusing["eu1"] = deferral

    assert site.conclude(job_fields(**fields)) == Return(deferral.after, deferral.code)


def test_a_shard_that_cannot_be_asked_returns_the_job_that_is_only_looked_up(site: Site) -> None:
    """A refusal waits: an outcome that is there would win."""
    site.lose_shard("eu1")
    conclusion = site.conclude(job_fields(expires_at=NOON.isoformat()))

    assert isinstance(conclusion, Return)
    assert conclusion.code == "shard_away"


def test_an_inbox_that_cannot_be_read_is_an_alarm(site: Site) -> None:
    """The shard counts as away; somebody has to repair it."""
    with site.shards.get("eu1").connect() as connection, connection.begin():
        connection.exec_driver_sql("DROP TABLE shardworker_inbox")
    with capture_logs() as lines:
        conclusion = site.conclude(job_fields(expires_at=NOON.isoformat()))

    assert isinstance(conclusion, Return)
    assert [(line["event"], line["log_level"], line["shard"]) for line in lines] == [
        ("inbox.fault", "error", "eu1")
    ]


class Defect(Exception):
    """What nobody expected."""


def break_directory(site: Site, _monkeypatch: pytest.MonkeyPatch) -> None:
    site.directory.error = Defect()


def break_lanes(site: Site, _monkeypatch: pytest.MonkeyPatch) -> None:
    site.offer_error = UnknownShard("eu9", [])


def break_fetcher(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise Defect

    monkeypatch.setattr(site.fetcher, "check_allowed", broken)


def break_rejection(_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise Defect

    monkeypatch.setattr("worker.intake.InboxInquiry", broken)


@pytest.mark.parametrize("break_it", [break_directory, break_lanes, break_fetcher, break_rejection])
@pytest.mark.parametrize("fields", [{}, {"expires_at": NOON.isoformat()}, {"attachments": "no list"}])
def test_an_unexpected_error_never_leaves_a_delivery_in_hand(
    site: Site, monkeypatch: pytest.MonkeyPatch, break_it: Any, fields: dict[str, Any]
) -> None:
    """Each delivery is settled exactly once; a copy that comes later is not joined to a job that is dead."""
    break_it(site, monkeypatch)
    deliveries = []
    for number in range(2):
        with capture_logs():
            deliveries.append(site.take(job_fields(**fields), message_id=f"message-{number}"))
        site.run()

    assert [held for settled in site.settled for held in settled.held] == deliveries
    assert site.intake.jobs() == []


def test_a_message_that_this_worker_fails_at_again_and_again_is_kept_aside(site: Site) -> None:
    """Released some times, for another worker may do better; then on the failure queue."""
    site.directory.error = Defect()
    conclusions: list[Conclusion] = []
    with capture_logs() as lines:
        conclusions.extend(
            site.conclude(receive_count=count) for count in range(RECEIVES_MINIMUM - 2, RECEIVES_MINIMUM + 1)
        )

    assert [type(one) for one in conclusions] == [Return, Return, Answer]
    assert rejection_of(conclusions[-1]) == ("rejected", "internal_error", "internal_error")
    assert {line["event"] for line in lines} == {"intake.failed"}


def test_a_message_that_came_often_is_not_kept_aside_for_an_error_that_passes(site: Site) -> None:
    """It may have waited for days: what it was received for before was no defect."""
    conclusions: list[Conclusion] = []
    with capture_logs():
        for error in (Defect(), Defect(), None, Defect(), Defect(), None):
            site.directory.error = error
            conclusions.append(site.conclude(receive_count=500))

    assert [type(one) for one in conclusions] == [Return, Return, Answer] * 2


def test_a_refusal_that_this_worker_fails_at_again_and_again_is_made_in_the_end(site: Site) -> None:
    """Its inbox cannot be asked, for a reason that is this worker's own."""
    site.offer_error = UnknownShard("eu9", [])
    with capture_logs():
        conclusions = [
            site.conclude(job_fields(expires_at=NOON.isoformat()), receive_count=500)
            for _ in range(DEFECTS_MAXIMUM)
        ]

    assert [type(one) for one in conclusions] == [Return, Return, Answer]


def test_each_message_has_its_own_failures(site: Site) -> None:
    """An error that all run into for a while rejects none of them."""
    site.directory.error = Defect()
    with capture_logs():
        conclusions = [site.conclude(receive_count=500, message_id=f"message-{n}") for n in range(9)]

    assert {type(one) for one in conclusions} == {Return}


def test_a_message_that_no_job_can_be_read_from_is_kept_aside_in_time_too(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is known who could be answered."""

    def broken(*_: object) -> None:
        raise Defect

    monkeypatch.setattr("worker.opening.open_envelope", broken)
    with capture_logs():
        conclusions = [site.conclude(receive_count=500) for _ in range(DEFECTS_MAXIMUM)]

    assert [type(one) for one in conclusions] == [Return, Return, Bury]


def test_the_failures_of_no_more_messages_are_remembered_than_there_is_room_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that failed last."""
    monkeypatch.setattr("worker.defects.MESSAGES_MAXIMUM", 2)
    defects = Defects()
    first, second, third = (site.receive(message_id=f"message-{n}", receive_count=500) for n in range(3))
    told = [defects.is_last(held) for held in (first, first, second, second, third, third)]

    assert told == [False] * 6
    assert [defects.is_last(held) for held in (second, third, first)] == [True, True, False]


def test_a_job_that_is_still_prepared_at_a_stop_is_given_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon abandons every job in hand while this one's attachments are on their way."""
    fetch = site.fetcher.fetch

    def stop_meanwhile(*arguments: Any) -> Any:
        site.refusing = {"eu1": SHUTDOWN}
        for job in site.intake.jobs():
            job.abandon(SHUTDOWN)
        return fetch(*arguments)

    monkeypatch.setattr(site.fetcher, "fetch", stop_meanwhile)

    assert site.conclude(job_fields(attachments=[attachment(site)])) == Return(timedelta(), "shutdown")


def test_a_placement_on_a_shard_that_is_not_configured_returns_the_job(site: Site) -> None:
    """The directory is ahead of this worker's configuration."""
    site.directory.placements["c-1"] = placement_of("c-1", "eu9")
    site.offer_error = UnknownShard("eu9", ["eu1", "eu2"])
    with capture_logs() as lines:
        conclusion = site.conclude()

    assert isinstance(conclusion, Return)
    assert [line["event"] for line in lines] == ["intake.failed"]
