"""A shared turn that breaks off: its shard is lost, the worker stops, a thread does not come back."""

from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from handlers.contract import PartContext, Reject, Retry
from shards.directory import Placement, PlacementUnusable
from shards.guard import ConnectionLost
from tests.support.core import Handler, insert_order
from tests.support.executing import raising
from tests.support.jobs import job_fields, orders
from tests.support.sharing import SharingSite
from worker.sharing import FAILURES_MINIMUM


@pytest.fixture(name="site")
def make_site(tmp_path: Path) -> Iterator[SharingSite]:
    site = SharingSite(tmp_path)
    yield site
    site.close()


def test_when_the_shard_is_lost_all_wait_in_their_lane_again(site: SharingSite) -> None:
    """It is asked again for one of them only; none is lost."""

    def losing(_payload: Any, _context: PartContext) -> Any:
        site.lose_shard("eu1")
        raise Retry

    site.instead[2] = losing
    site.send(1, 2, 3)
    site.run_turn()

    assert (site.lanes.waiting(), site.ends()) == (3, {})


def test_a_stop_lets_what_did_not_start_go(site: SharingSite) -> None:
    """What was run together and taken back is not run again then."""

    def stopping(_payload: Any, _context: PartContext) -> Any:
        site.stop.set()
        raise Retry

    site.instead[2] = stopping
    site.send(1, 2, 3)
    site.run_turns()

    assert (set(site.ends().values()), orders(site.path)) == ({"shutdown"}, [])


def test_shards_that_are_lost_switch_no_type_off(site: SharingSite) -> None:
    """Whose turn it was when the connection was lost is no more to blame than the others."""

    def losing_once(payload: Any, context: PartContext) -> Any:
        if site.calls[payload["order_no"]] == 1:
            raise ConnectionLost
        return insert_order(payload, context)

    for number in range(10, 10 + 10 * FAILURES_MINIMUM, 10):
        site.instead[number] = losing_once
        site.send(number, number + 1)
        assert site.run_turns() == 1
    site.send(1, 2)

    assert site.run_turns() == 1
    assert set(site.ends().values()) == {"succeeded"}


def test_a_part_whose_thread_is_given_up_fails_alone(site: SharingSite) -> None:
    """Its neighbours are rolled back with it, and wait in their lane for another thread."""
    site.instead[2] = site.hang
    site.send(1, 2, 3)
    site.run_turn()

    assert site.ends() == {2: "part_timeout"}
    assert site.lanes.waiting() == 2
    site.run_turns()
    assert site.ends() == {2: "part_timeout", 1: "succeeded", 3: "succeeded"}
    assert orders(site.path) == [1, 3]


def test_whose_neighbours_hang_again_and_again_is_not_told_that_its_shard_is_away(site: SharingSite) -> None:
    """It was never asked for itself: it waits until it is."""
    site.instead = dict.fromkeys((2, 3, 4), site.hang)
    site.send(1, 2, 3, 4)
    site.run_turns()

    assert site.ends() == {1: "succeeded", **dict.fromkeys((2, 3, 4), "part_timeout")}


def test_a_customer_whose_entry_is_no_good_takes_nobody_along(
    site: SharingSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the directory cannot say of one is no reason to give back the others."""
    find = site.directory.find

    def finding(customer_ids: Collection[str]) -> Mapping[str, Placement]:
        if "c-2" in customer_ids:
            raise PlacementUnusable
        return find(tuple(customer_ids))

    site.send(1)
    site.take(job_fields(job_id="job-2", customers=["c-2"], payload={"order_no": 2}))
    site.send(3)
    monkeypatch.setattr(site.directory, "find", finding)

    assert site.run_turns() == 1
    assert site.ends() == {1: "succeeded", 2: "placement_stale", 3: "succeeded"}


def test_however_parts_end_no_place_stays_taken(site: SharingSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the shard, of its server, and of the threads; each part ends once."""
    fate: list[Handler] = [
        insert_order,
        raising(Reject("no_good", "It is no good.")),
        site.hang,
        raising(Retry(after=timedelta(seconds=1))),
        raising(SystemExit()),
        lambda _payload, context: context.connection.exec_driver_sql("COMMIT"),
    ]
    monkeypatch.setattr(site.executor.sharing, "note_failed", lambda *_: None)
    for number in range(1, 25):
        site.instead[number] = fate[number * number % 7 % len(fate)]
    site.send(*range(1, 25))
    with capture_logs():
        while site.lanes.waiting():
            site.run_turn()
            assert_no_place_is_taken(site)

    assert site.given_up > 1
    assert sorted(site.ends()) == list(range(1, 25))
    assert len(site.settled) == len(site.ends())


def assert_no_place_is_taken(site: SharingSite) -> None:
    """Nothing runs."""
    lane = site.lanes._lanes["eu1"]
    assert (lane.running, lane.server.running, lane.server.waiting) == (0, 0, len(lane.queue))
    assert (lane.occupancy.taken, lane.server.occupancy.taken, site.lanes._threads.taken) == (0, 0, 0)
    assert site.lanes._thread_count == site.lanes._rules.threads
