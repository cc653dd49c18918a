"""Attachments and absent shards: nothing is fetched for a part that could not run."""

from typing import Any

import pytest

from tests.support.core import AWAY, Site
from tests.support.intake import attachment
from tests.support.jobs import job_fields, orders
from tests.support.lanes import Piece, fill, lanes_of, miss, put_away
from worker.conclusion import Answer, Return
from worker.lanes import Lanes


@pytest.fixture
def fetched(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is fetched."""
    names: list[str] = []
    fetch = site.fetcher.fetch

    def noting(job_id: str, references: list[Any]) -> Any:
        names.extend(reference.name for reference in references)
        return fetch(job_id, references)

    monkeypatch.setattr(site.fetcher, "fetch", noting)
    return names


def customer(customer_id: str, order_no: int, *names: str) -> dict[str, Any]:
    return {"customer_id": customer_id, "payload": {"order_no": order_no}, "attachments": list(names)}


def test_nothing_is_fetched_for_a_shard_that_is_away(site: Site, fetched: list[str]) -> None:
    """The job comes again when the lane says; its part is not even offered."""
    site.unadmitted["eu1"] = AWAY
    conclusion = site.conclude(job_fields(attachments=[attachment(site)]))

    assert conclusion == Return(AWAY.after, "shard_away")
    assert (fetched, site.offered) == ([], [])


def test_each_file_that_is_fetched_is_a_request_of_the_job_s(site: Site) -> None:
    """As its line will tell."""
    site.conclude(job_fields(attachments=[attachment(site)]))
    site.conclude(job_fields(job_id="without"))

    assert [settled.held[0].s3_requests for settled in site.settled] == [1, 0]


def test_a_part_without_attachments_waits_in_its_lane(site: Site, fetched: list[str]) -> None:
    """It costs nothing to hold."""
    site.unadmitted["eu1"] = AWAY

    assert isinstance(site.conclude(job_fields()), Answer)
    assert fetched == []


def test_only_the_files_of_the_others_are_fetched(site: Site, fetched: list[str]) -> None:
    """They run; the part whose shard is away waits for another delivery."""
    site.unadmitted["eu1"] = AWAY
    files = [attachment(site, "one.csv"), attachment(site, "three.csv")]
    customers = [customer("c-1", 1, "one.csv"), customer("c-3", 3, "three.csv")]
    conclusion = site.conclude(job_fields(customers=customers, attachments=files))

    assert conclusion == Return(AWAY.after, "shard_away")
    assert (fetched, orders(site.path, "eu2")) == (["three.csv"], [3])


def test_a_part_whose_files_the_others_need_anyway_goes_to_its_lane(site: Site, fetched: list[str]) -> None:
    """To be held there, so that they are not fetched again and again."""
    site.unadmitted["eu1"] = AWAY
    customers = [customer("c-1", 1, "lines.csv"), customer("c-3", 3, "lines.csv")]
    conclusion = site.conclude(job_fields(customers=customers, attachments=[attachment(site)]))

    assert isinstance(conclusion, Answer)
    assert (fetched, site.offered) == (["lines.csv"], ["c-1", "c-3"])


def test_the_bucket_is_read_for_probes_only(site: Site, fetched: list[str]) -> None:
    """Of the deliveries that come while the shard is away, one after each cool-down."""
    site.time.chance = 0.999_999
    lanes = lanes_of(site.time)
    put_away(lanes, "eu1")
    assert lanes.withdraw(lanes.held_away()) == ["probe"]
    reads = []
    for seconds in (0, 1, 2, 2, 2, 8):
        site.time.pass_time(seconds)
        before = len(fetched)
        take_five(site, lanes)
        reads.append(len(fetched) - before)
        if reads[-1]:
            fill(lanes, "eu1", "the part that was prepared")
            miss(lanes)
            lanes.withdraw(lanes.held_away())

    assert reads == [0, 1, 1, 0, 1, 1]


def take_five(site: Site, lanes: Lanes[Piece]) -> None:
    """Five deliveries with an attachment, as the lanes admit them."""
    for number in range(5):
        refused = lanes.admit("eu1")
        site.unadmitted = {} if refused is None else {"eu1": refused}
        site.take(job_fields(job_id=f"job-{site.time.seconds}-{number}", attachments=[attachment(site)]))
        site.tasks.clear()
