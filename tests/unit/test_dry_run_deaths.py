"""Dry runs that come again and again: set apart, watched, run alone, and answered without another run."""

from datetime import timedelta
from typing import Any

import pytest

from config.headers import OwnHeader
from handlers.contract import PartContext
from tests.support.core import Handler, Site, insert_order
from tests.support.fakes import NOON
from tests.support.intake import three_customers
from tests.support.jobs import job_fields
from worker.conclusion import Answer, Deferral
from worker.dry_runs import deaths_of

pytestmark = pytest.mark.usefixtures("quiet")


def dry(**fields: Any) -> dict[str, Any]:
    """A job that only asks."""
    return job_fields(dry_run=True, **fields)


@pytest.mark.parametrize(
    ("own", "receive_count", "deaths"),
    [
        (OwnHeader(), 1, None),
        (OwnHeader(resends=3), 49, None),
        (OwnHeader(), 50, 0),
        (OwnHeader(deaths=0), 1, 0),
        (OwnHeader(deaths=2), 1, 2),
        (OwnHeader(deaths=2), 3, 4),
        # it came once before it was due
        (OwnHeader(deaths=2, not_before=NOON), 1, 2),
        (OwnHeader(deaths=2, not_before=NOON), 2, 2),
        (OwnHeader(deaths=2, not_before=NOON), 3, 3),
    ],
)
def test_a_death_is_another_receive_of_a_copy_that_is_watched(
    own: OwnHeader, receive_count: int, deaths: int | None
) -> None:
    """What is watched is given back by copies alone, whose receives begin anew."""
    assert deaths_of(own, receive_count, 5) == deaths


@pytest.mark.parametrize("receive_count", [5, 8, 30])
def test_a_dry_run_that_comes_often_is_set_apart(site: Site, receive_count: int) -> None:
    """Not run: what it came with may have killed the process, or its shard was away."""
    conclusion = site.conclude(dry(), receive_count=receive_count)

    assert getattr(conclusion, "code", None) == "set_apart"
    assert (site.settled[0].held[0].deaths, site.offered) == (0, [])


def is_alone_in(site: Site, alone: list[bool]) -> Handler:
    """A handler that notes whether anybody else could run now."""

    def handler(payload: Any, context: PartContext) -> Any:
        alone.append(site.executor._gate._alone is not None)
        return insert_order(payload, context)

    return handler


@pytest.mark.parametrize("receive_count", [1, 2, 3])
def test_a_dry_run_that_somebody_died_with_runs_alone(site: Site, receive_count: int) -> None:
    """Received for the first time since it was set apart, it is only suspected."""
    alone: list[bool] = []
    site.handler = is_alone_in(site, alone)
    answer = site.answer(dry(), header={"deaths": 0}, receive_count=receive_count)

    assert (answer["status"], alone) == ("succeeded", [receive_count > 1])


def test_a_dry_run_that_cannot_be_alone_waits(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as somebody else's part takes; its deaths go with it."""
    monkeypatch.setattr("worker.trial_run.ALONE_PATIENCE_SECONDS", 0.0)
    with site.executor._gate.together():
        conclusion = site.conclude(dry(), header={"deaths": 2})

    assert getattr(conclusion, "code", None) == "busy"
    assert site.settled[0].held[0].deaths == 2


def test_a_dry_run_that_killed_three_times_is_answered_without_its_handler(site: Site) -> None:
    """For all its customers, though a shard of theirs is away; the failure queue gets nothing."""
    site.handler = lambda _payload, _context: pytest.fail("it was run again")
    site.refusing["eu2"] = Deferral(timedelta(seconds=5), "shard_away")
    conclusion = site.conclude(three_customers(dry_run=True), header={"deaths": 2}, receive_count=2)

    assert isinstance(conclusion, Answer)
    assert (conclusion.status, conclusion.code, conclusion.dead_letter) == ("failed", "worker_killed", None)
    assert site.offered == []


def test_a_dry_run_received_often_while_its_shard_was_away_is_run(site: Site) -> None:
    """What waited comes as a copy, and begins to be counted anew."""
    assert site.answer(dry(), receive_count=1, header={"resends": 40})["status"] == "succeeded"


def test_only_a_dry_run_is_told_from_its_receives(site: Site) -> None:
    """A real job has its starts in the inbox."""
    site.conclude(receive_count=9)

    assert site.settled[0].held[0].deaths is None
