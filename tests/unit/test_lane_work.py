"""What waits in a lane is run where its customer lives when its turn comes, or not at all."""

from dataclasses import replace
from pathlib import Path

import pytest

from shards.directory import DirectoryUnavailable, PlacementState
from tests.support.core import Site
from tests.support.executing import part_of
from tests.support.jobs import inbox_rows
from tests.support.lanes import lanes_of
from worker.conclusion import Return
from worker.lane import Reply
from worker.lane_work import LaneWork
from worker.lanes import Lanes
from worker.tasks import Task


class Work:
    """A part that waits in its lane, of a site that a test can change before its turn comes."""

    def __init__(self, directory: Path) -> None:
        self.site = Site(directory)
        self.lanes: Lanes[Task] = Lanes(lanes_of()._rules, self.site.time.clock)
        self.work = LaneWork(
            self.lanes, self.site.executor, self.site.directory, self.site.time.clock, self.site.stop
        )
        self.part = part_of(self.site)
        assert self.work.offer(self.part) is None

    def run(self) -> Return | None:
        """One turn of a worker thread; how the part came back, if it did."""
        taken = self.lanes.take()
        assert taken is not None
        self.lanes.finished(taken, self.work._run(taken.item))
        ends = [end for _, end, _ in self.site.settled]
        return next((end for end in ends if isinstance(end, Return)), None)


@pytest.fixture(name="work")
def make_work(tmp_path: Path) -> Work:
    return Work(tmp_path)


@pytest.mark.parametrize("state", [PlacementState.PAUSED, PlacementState.MOVING, PlacementState.GONE])
def test_a_part_whose_customer_was_stopped_while_it_waited_does_not_start(
    work: Work, state: PlacementState
) -> None:
    """Whoever paused a customer can copy it when what ran has ended: nothing starts afterwards."""
    work.site.directory.set_state("c-1", state)
    returned = work.run()

    assert returned is not None
    assert returned.code == "placement_stale"
    assert inbox_rows(work.site.path) == []


def test_a_part_whose_customer_was_moved_while_it_waited_is_not_written_to_the_old_place(work: Work) -> None:
    """It comes back to be routed anew."""
    placements = work.site.directory.placements
    placements["c-1"] = replace(placements["c-1"], shard="eu2", epoch=2)
    returned = work.run()

    assert returned is not None
    assert returned.code == "placement_stale"
    assert inbox_rows(work.site.path) == []


def test_a_part_of_which_nothing_is_known_any_more_waits(work: Work) -> None:
    """The directory is away for longer than it is remembered."""
    work.site.directory.error = DirectoryUnavailable("The catalog cannot be asked.")
    returned = work.run()

    assert returned is not None
    assert returned.code == "directory_away"


def test_a_part_whose_customer_is_where_it_was_runs(work: Work) -> None:
    """Once."""
    assert work.run() is None
    assert [row["state"] for row in inbox_rows(work.site.path)] == ["succeeded"]


def test_it_tells_since_when_what_runs_has_been_running(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is protected by it while a handler call takes long; nothing runs, nothing is told."""
    seen: list[float | None] = []

    def run(_: Task) -> Reply:
        seen.append(work.work.running_since())
        work.lanes.close()
        return Reply.NOT_ASKED

    monkeypatch.setattr(work.work, "_run", run)
    work.work.run()

    assert seen == [work.site.time.clock.monotonic()]
    assert work.work.running_since() is None
