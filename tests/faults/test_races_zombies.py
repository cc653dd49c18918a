"""Races with zombies: a worker stands still until its lease has run out, and then goes on where it was."""

import signal
from pathlib import Path

import pytest

from config.points import Point
from tests.support.crash_databases import SERVERS, CrashDatabases
from tests.support.race_site import Racer, RaceSite, race_site
from tests.support.world import job, wait_until


@pytest.mark.parametrize("kind", SERVERS)
def test_a_zombie_that_had_not_claimed_its_part_finds_the_outcome(
    tmp_path: Path, race_databases: CrashDatabases, kind: str
) -> None:
    """The other one commits first; the zombie runs nothing and says the same."""
    with race_site(tmp_path, race_databases.of(kind)) as site:
        zombie = start_zombie(site, "after_prepare")
        other = site.start()
        wait_until(lambda: site.databases.order_numbers() == [1], "the commit of the other one")
        other.wait_for_event("job.done")
        zombie.signal(signal.SIGCONT)
        zombie.wait_for_event("job.done")

        assert_done_once(site)


@pytest.mark.parametrize("kind", SERVERS)
def test_a_zombie_that_has_not_committed_keeps_the_part_to_itself(
    tmp_path: Path, race_databases: CrashDatabases, kind: str
) -> None:
    """Its claim is locked: the other one is busy until the zombie has committed, and takes its outcome."""
    with race_site(tmp_path, race_databases.of(kind)) as site:
        zombie = start_zombie(site, "before_commit")
        other = site.start()
        other.wait_for_event("job.released")
        assert {line["error_code"] for line in other.events("job.released")} == {"busy"}
        zombie.signal(signal.SIGCONT)
        zombie.wait_for_event("job.done")

        assert_done_once(site)


@pytest.mark.parametrize("kind", SERVERS)
def test_a_zombie_whose_session_was_ended_commits_nothing(
    tmp_path: Path, race_databases: CrashDatabases, kind: str
) -> None:
    """The other one runs the part; the zombie's COMMIT comes last and fails, and it finds the outcome."""
    with race_site(tmp_path, race_databases.of(kind)) as site:
        zombie = start_zombie(site, "before_commit")
        assert site.databases.end_open_transactions() == 1
        other = site.start()
        other.wait_for_event("job.done")
        zombie.signal(signal.SIGCONT)
        zombie.wait_for_event("shard.unanswered")
        zombie.wait_for_event("job.done")

        assert_done_once(site)


def start_zombie(site: RaceSite, halt: Point) -> Racer:
    """A worker that stands still on its way with the one job, whose lease is over."""
    site.send(job("one", ["c-1"], rows=[{"order_no": 1}]))
    zombie = site.start(halt=halt)
    zombie.wait_until_it_stands()
    site.end_leases()
    return zombie


def assert_done_once(site: RaceSite) -> None:
    """One effect, one answer however often it was sent, nothing counted, nothing left."""
    site.wait_until_settled()
    assert site.stop() == [0, 0]
    assert site.databases.order_numbers() == [1]
    assert [answer["status"] for answer in site.answers("one")] == ["succeeded"]
    assert (site.letters(), site.counts()) == ([], {(0, 0)})
