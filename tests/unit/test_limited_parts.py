"""Parts over a rate limit wait where they cost nobody anything, or come again when there is room for them."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from config.result import error_of
from shards.engines import UnknownShard
from tests.support.jobs import job_fields, placement_of
from tests.support.limited import Limits
from worker.clock import Clock
from worker.conclusion import Deferral, Return
from worker.job_in_hand import Part, shutdown_deferral
from worker.limited_parts import LimitedParts
from worker.tasks import PartTask

pytestmark = pytest.mark.usefixtures("quiet")


def test_without_limits_each_part_goes_at_once(tmp_path: Path) -> None:
    """Nothing is asked and nothing is counted."""
    limits = Limits(tmp_path)
    vars(limits.limited)["_condition"] = None

    assert limits.offer("acme-1", "acme-2") == [None, None]
    assert limits.sent == ["acme-1", "acme-2"]


def test_a_part_over_its_limit_goes_when_there_is_room_for_it(tmp_path: Path) -> None:
    """In the order in which they came; the time that it waited is its wait for its lane."""
    limits = Limits(tmp_path, partner="2/s")

    assert limits.offer("acme-1", "acme-2", "acme-3", "acme-4") == [None] * 4
    assert limits.sent == ["acme-1", "acme-2"]
    assert (limits.after(0.4), limits.after(0.1), limits.after(0.5)) == ([], ["acme-3"], ["acme-4"])
    assert limits.parts["acme-4"].lane_wait_seconds == 1.0
    assert limits.limited.waiting() == 0


def test_nobody_waits_for_a_partner_that_floods(tmp_path: Path) -> None:
    """Nor for a customer."""
    limits = Limits(tmp_path, partner="1/s", customers={"c-2": "1/m"})
    limits.offer("acme-1", "acme-2", "acme-3")
    limits.offer("gamma-1", customer="c-2")

    assert limits.offer("beta-1") == [None]
    assert limits.sent == ["acme-1", "gamma-1", "beta-1"]


def test_at_a_limit_of_all_the_partners_take_turns(tmp_path: Path) -> None:
    """One that was first with many does not keep the others waiting for all of them."""
    limits = Limits(tmp_path, queue="1/s")
    limits.offer("acme-1", "acme-2", "acme-3", "acme-4", "beta-1")

    assert [limits.after(1) for _ in range(4)] == [["acme-2"], ["beta-1"], ["acme-3"], ["acme-4"]]


def test_who_comes_later_does_not_overtake_those_that_wait(tmp_path: Path) -> None:
    """Though the moment of the next one has come."""
    limits = Limits(tmp_path, partner="1/s")
    limits.offer("acme-1", "acme-2")
    limits.time.pass_time(1)
    limits.offer("acme-3")

    assert limits.sent == ["acme-1"]
    assert limits.after(0) == ["acme-2"]


def test_who_meets_another_limit_then_waits_for_that_one(tmp_path: Path) -> None:
    """And holds up nobody behind it, whatever the other one is."""
    limits = Limits(tmp_path, queue="1/s", customers={"c-1": "1/10s"})
    limits.offer("acme-1", customer="c-2")
    limits.offer("acme-2", "acme-3")
    limits.offer("acme-4", customer="c-2")

    assert [limits.after(1) for _ in range(3)] == [["acme-2"], ["acme-4"], []]
    assert limits.after(8) == ["acme-3"]


def test_who_meets_a_limit_for_long_after_a_wait_comes_again(tmp_path: Path) -> None:
    """The place in hand is worth more to others."""
    limits = Limits(tmp_path, queue="1/s", customers={"c-1": "1/h"})
    limits.offer("acme-1", customer="c-2")
    limits.offer("acme-2", "acme-3")

    assert [limits.after(1), limits.after(1)] == [["acme-2"], []]
    assert limits.returned()["acme-3"] == Return(timedelta(seconds=150), "rate_limited")
    assert limits.limited.waiting() == 0


def test_what_would_wait_for_long_comes_again(tmp_path: Path) -> None:
    """At the latest when its limit may have been changed: after `away_max_delay`, spread."""
    limits = Limits(tmp_path, customer="2/m", partners={"acme": "1/h"})

    assert limits.offer("acme-1", "acme-2") == [None, 150.0]
    assert limits.offer("beta-1", "beta-2", "beta-3", customer="c-2") == [None, None, None]
    assert limits.offer("beta-4", "beta-5", customer="c-2") == [60.0, 90.0]


def test_a_job_that_waits_anyway_waits_for_all_of_its_parts(tmp_path: Path) -> None:
    """Else a job of many customers would come again and again for a few of them each time."""
    limits = Limits(tmp_path, in_hand_max=10, partner="1/20s")
    limits.site.take(job_fields(customers=["c-1", "c-2", "c-3"]))
    parts = [task.part for _, task in limits.site.tasks if isinstance(task, PartTask)]

    assert [limits.limited.offer(part) for part in parts] == [None] * 3
    assert [limits.after(20), limits.after(20)] == [["job-1"], ["job-1"]]


def test_what_has_no_room_comes_again_one_after_the_other(tmp_path: Path) -> None:
    """A tenth of what may be in hand waits here; the rest comes when the limit has room for it."""
    limits = Limits(tmp_path, in_hand_max=30, partner="2/s")

    assert limits.offer(*(f"acme-{number}" for number in range(5))) == [None] * 5
    assert limits.limited.waiting() == 3
    assert limits.offer("acme-5", "acme-6", "acme-7") == [2.0, 2.5, 3.0]
    assert limits.limited.waiting() == 3


def test_where_there_is_no_room_the_newest_of_whoever_has_most_comes_again(tmp_path: Path) -> None:
    """A flood does not keep the others out."""
    limits = Limits(tmp_path, in_hand_max=30, queue="1/s")
    limits.offer("acme-1", "acme-2", "acme-3", "acme-4")

    assert limits.offer("beta-1") == [None]
    assert limits.after(0) == []
    assert limits.returned() == {"acme-4": Return(timedelta(seconds=4), "rate_limited")}
    assert [limits.after(1), limits.after(1)] == [["acme-2"], ["beta-1"]]


def test_a_part_that_is_refused_anyway_is_not_counted(tmp_path: Path) -> None:
    """It runs nothing."""
    limits = Limits(tmp_path, partner="1/h")
    for number in range(3):
        part = limits.part(f"acme-{number}")
        part.refusal = error_of("expired", "Too late.")
        assert limits.limited.offer(part) is None

    assert limits.offer("acme-9") == [None]
    assert len(limits.sent) == 4


def test_what_its_lane_does_not_take_is_not_counted(tmp_path: Path) -> None:
    """A shard that is away uses up nothing of the limits of others."""
    limits = Limits(tmp_path, partner="1/s")
    limits.refusing = away = Deferral(timedelta(seconds=7), "shard_away")
    assert [limits.limited.offer(limits.part(f"acme-{number}")) for number in range(3)] == [away] * 3
    limits.refusing = None
    limits.offer("acme-3", "acme-4", "acme-5")
    limits.refusing = away

    assert limits.after(1) == []
    assert {end.code for end in limits.returned().values()} == {"shard_away"}


def test_a_part_that_cannot_be_put_into_a_lane_does_not_keep_the_others(tmp_path: Path) -> None:
    """As where a directory names a shard that is not configured."""
    limits = Limits(tmp_path, partner="1/s")
    limits.offer("acme-1", "acme-2", "acme-3")
    limits.error = UnknownShard("eu9", [])
    assert limits.after(1) == []
    limits.error = None

    assert limits.returned()["acme-2"].code == "internal_error"
    assert limits.after(1) == ["acme-3"]


def test_a_reload_changes_what_waits_too(tmp_path: Path) -> None:
    """Who is no longer limited goes."""
    limits = Limits(tmp_path, partner="1/10s")
    limits.offer("acme-1", "acme-2", "acme-3", "beta-1", "beta-2")
    limits.apply(partner="1/10s", partners={"acme": "unlimited"})

    assert limits.after(0) == ["acme-2", "acme-3"]
    limits.apply()
    assert limits.after(0) == ["beta-2"]


def test_a_stop_gives_back_what_waits_and_lets_nothing_more_in(tmp_path: Path) -> None:
    """At once; what comes afterwards is the lanes' to refuse."""
    limits = Limits(tmp_path, partner="1/s")
    limits.offer("acme-1", "acme-2")
    limits.limited.stop()
    limits.offer("acme-3")

    assert limits.returned() == {"acme-2": Return(timedelta(), "shutdown")}
    assert limits.sent == ["acme-1", "acme-3"]


def test_its_thread_lets_parts_go_in_time_and_ends_with_the_stop(tmp_path: Path) -> None:
    """By the machine's own clock."""
    limits = Limits(tmp_path, partner="1/10ms")
    sent: list[Part] = []
    all_are_sent = threading.Event()

    def send(part: Part) -> None:
        sent.append(part)
        if len(sent) == 4:
            all_are_sent.set()

    limited = LimitedParts(limits.site.settings, Clock(), send)
    thread = threading.Thread(target=limited.run)
    thread.start()
    parts = [limits.part(f"acme-{number}") for number in range(4)]
    assert [limited.offer(part) for part in parts] == [None] * 4

    assert all_are_sent.wait(60)
    limited.stop()
    thread.join(60)
    assert not thread.is_alive()
    assert set(sent) == set(parts)


def test_a_job_takes_one_place_however_many_of_its_customers_are_over_their_limits(tmp_path: Path) -> None:
    """Else each part would cost another its place, and the job come again for a few of them each time."""
    limits = Limits(tmp_path, in_hand_max=10, customer="1/20s")
    customers = ["c-1", "c-2", "c-3"]
    for customer in customers:
        limits.offer("beta-1", customer=customer)
    limits.take(customers=customers)

    assert limits.limited.waiting() == 3
    assert limits.after(20) == ["job-1"] * 3


def test_jobs_of_a_thousand_customers_for_which_there_is_no_room_come_again(tmp_path: Path) -> None:
    """A part that is put off lets its job offer the next one: these calls must not lie within each other."""
    limits = Limits(tmp_path, in_hand_max=10, customer="1/20s")
    customers = [f"d-{number}" for number in range(1000)]
    limits.site.directory.placements |= {name: placement_of(name, "eu1") for name in customers}
    for customer in customers:
        limits.offer("beta-1", customer=customer)
    for job_id in ("job-1", "job-2", "job-3"):
        limits.take(job_id=job_id, customers=customers)
    limits.after(0)
    limits.refusing = shutdown_deferral()
    limits.limited.stop()

    ends = [settled.conclusion for settled in limits.site.settled]
    assert {end.code for end in ends if isinstance(end, Return)} == {"rate_limited", "shutdown"}
    assert len(ends) == 3
