"""What waits for an absent shard is given back before SQS ends its hold, whole job by whole job."""

import threading
from datetime import timedelta
from typing import Any, cast

import pytest

from tests.support.core import Site, TestDirectory
from tests.support.fakes import NOON
from tests.support.job_stage import Stage
from tests.support.jobs import job_fields
from worker.conclusion import Deferral, Return
from worker.executor import Executor
from worker.job_in_hand import JobInHand, Part
from worker.lane import Reply
from worker.lane_keeper import TURNS_TO_LOOK, LaneKeeper
from worker.lane_rules import Berth, LaneRules
from worker.lanes import Lanes
from worker.long_held import HELD_LONG, LongHeld
from worker.tasks import PartTask, Task
from worker.transports.limits import RELEASE_DELAY_MAXIMUM

SECOND = timedelta(seconds=1)
HOLD_MAXIMUM = timedelta(hours=12)
HELD_SECONDS_MAXIMUM = timedelta(hours=10).total_seconds()
GIVEN_BACK = Return(HELD_LONG.after, "shard_away")


class NoExecutor:
    """What runs no part; it owes no shard a start."""

    def defer(self, part: Part) -> None:
        """Nothing is owed."""


class Waiting:
    """A job whose parts wait in the lane of a shard, which can be away."""

    def __init__(self, customers: int = 3) -> None:
        self.stage = Stage(customers)
        self.time = self.stage.time
        rules = LaneRules(
            berth_of=lambda shard: Berth(shard, 1),
            server_limit=lambda _: 8,
            held_maximum=1000,
            base_delay=SECOND,
            return_minimum=SECOND,
            return_maximum=SECOND,
            probe_maximum=SECOND,
            slow_after=None,
        )
        self.lanes: Lanes[Task] = Lanes(rules, self.time.clock)
        self.long_held = LongHeld(self.lanes, lambda: [self.stage.job], self.time.clock, HOLD_MAXIMUM)
        self.stage.job.start(self.offer)

    @property
    def job(self) -> JobInHand:
        """The job in hand."""
        return self.stage.job

    def offer(self, part: Part) -> Deferral | None:
        """Put a part into the lane; it is never run here."""
        return self.lanes.offer("eu0", PartTask(part, cast(Executor, NoExecutor())))

    def lose_shard(self) -> None:
        """Two tasks find it away."""
        for _ in range(2):
            taken = self.lanes.take()
            assert taken is not None
            self.lanes.finished(taken, Reply.UNANSWERED)

    def give_back_after(self, seconds: float) -> list[object]:
        """The job's conclusions, if what is held for so long is given back."""
        self.time.pass_time(seconds)
        self.long_held.give_back()
        return list(self.stage.concluded)


def test_a_job_is_given_back_when_it_was_held_for_ten_hours() -> None:
    """Not before: while there is room, a hold costs less than coming again."""
    waiting = Waiting()
    waiting.lose_shard()

    assert waiting.give_back_after(HELD_SECONDS_MAXIMUM - 1) == []
    assert waiting.give_back_after(1) == [GIVEN_BACK]
    assert waiting.lanes.waiting() == 0


def test_a_large_job_is_given_back_at_once() -> None:
    """Those of its parts that had no place in a lane yet do not follow one by one, ten hours each."""
    waiting = Waiting(customers=500)
    waiting.lose_shard()

    assert waiting.give_back_after(HELD_SECONDS_MAXIMUM) == [GIVEN_BACK]


def test_a_job_whose_shard_answers_is_left_alone() -> None:
    """However long it takes: its parts go on."""
    waiting = Waiting()

    assert waiting.give_back_after(2 * HELD_SECONDS_MAXIMUM) == []
    assert waiting.lanes.waiting() == 3


@pytest.mark.parametrize("fields", [{"expires_at": NOON.isoformat()}, {"attachments": "no list"}])
def test_a_message_whose_inbox_is_only_looked_at_is_given_back_too(
    site: Site, fields: dict[str, Any]
) -> None:
    """A job that is refused, or no job at all: its refusal waits as a job does."""
    waiting = Waiting()
    waiting.lose_shard()
    site.take(job_fields(**fields))
    ((shard, task),) = site.tasks
    waiting.lanes.offer("eu0", task)
    waiting.give_back_after(HELD_SECONDS_MAXIMUM - 1)
    assert (shard, site.settled) == ("eu1", [])
    waiting.give_back_after(1)

    assert [one.conclusion for one in site.settled] == [GIVEN_BACK]
    assert site.intake.jobs() == []


def test_what_came_later_waits_on(site: Site) -> None:
    """Each message is held for as long as there is time for it."""
    waiting = Waiting()
    waiting.lose_shard()
    held = site.receive(job_fields(attachments="no list"))
    held.started_at += 1
    site.intake.take(held)
    waiting.lanes.offer("eu0", site.tasks[0][1])

    assert waiting.give_back_after(HELD_SECONDS_MAXIMUM) == [GIVEN_BACK]
    assert site.settled == []
    assert waiting.lanes.waiting() == 1


def test_there_is_time_left_for_the_release_and_its_delay() -> None:
    """SQS counts both from the receive; and a turn of the keeper's comes in time."""
    assert timedelta(seconds=HELD_SECONDS_MAXIMUM) + HELD_LONG.after + SECOND * 60 < RELEASE_DELAY_MAXIMUM


def test_the_keeper_of_the_lanes_sees_to_it() -> None:
    """Every few turns."""
    waiting = Waiting()
    waiting.lose_shard()
    waiting.time.pass_time(HELD_SECONDS_MAXIMUM)
    placements = {part.placement.customer_id: part.placement for part in waiting.job.parts if part.placement}
    keeper = LaneKeeper(
        waiting.lanes, TestDirectory(placements), threading.Event(), [waiting.long_held.give_back]
    )
    for _ in range(TURNS_TO_LOOK):
        assert waiting.stage.concluded == []
        keeper.tend()

    assert waiting.stage.concluded == [GIVEN_BACK]
