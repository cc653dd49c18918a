"""The keeper of the lanes: what they cannot hold is given back, and so is what belongs elsewhere by now."""

import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest

from shards.directory import DirectoryUnavailable, Placement, PlacementState
from tests.support.core import TestDirectory
from tests.support.fakes import ManualTime, QuickStop
from tests.support.jobs import placement_of
from worker.conclusion import Deferral
from worker.lane import Reply
from worker.lane_keeper import ELSEWHERE, TURN_SECONDS_MAXIMUM, TURNS_TO_LOOK, LaneKeeper
from worker.lane_rules import Berth, LaneRules
from worker.lanes import Lanes
from worker.pulse import Pulse, bind, doing
from worker.tasks import Task

SECOND = timedelta(seconds=1)


class NotedTask:
    """A task that only notes what it was given back with."""

    def __init__(self, customer_id: str) -> None:
        self.priority = 0
        self.partner_id = "acme"
        self.job_key = customer_id
        self.held_since = 0.0
        self.placements: tuple[Placement, ...] = (placement_of(customer_id),)
        self.given_back: list[Deferral] = []

    def run(self) -> Reply:
        """Never called here."""
        return Reply.NOT_ASKED

    def give_back(self, deferral: Deferral) -> None:
        """Note it."""
        self.given_back.append(deferral)

    def give_up(self) -> None:
        """Never called here."""


class Stage:
    """A keeper of lanes for two shards, and a directory that a test can change."""

    def __init__(self, held: int = 10) -> None:
        self.time = ManualTime()
        rules = LaneRules(
            berth_of=lambda shard: Berth(shard, 1),
            server_limit=lambda _: 8,
            held_maximum=held,
            base_delay=SECOND,
            return_minimum=SECOND,
            return_maximum=60 * SECOND,
            probe_maximum=15 * SECOND,
            slow_after=5 * SECOND,
        )
        self.lanes: Lanes[Task] = Lanes(rules, self.time.clock)
        self.directory = TestDirectory({name: placement_of(name) for name in ("c-1", "c-2", "c-3")})
        self.keeper = LaneKeeper(self.lanes, self.directory, threading.Event())

    def offer(self, *customer_ids: str) -> list[NotedTask]:
        """Tasks in the lane of eu1."""
        tasks = [NotedTask(one) for one in customer_ids]
        assert [self.lanes.offer("eu1", task) for task in tasks] == [None] * len(tasks)
        return tasks

    def lose_shard(self) -> None:
        """Two tasks find it away."""
        for _ in range(2):
            taken = self.lanes.take()
            assert taken is not None
            self.lanes.finished(taken, Reply.UNANSWERED)

    def tend(self) -> None:
        """As many turns as it takes to look into the directory."""
        for _ in range(TURNS_TO_LOOK):
            self.keeper.tend()


@pytest.mark.parametrize("state", [PlacementState.PAUSED, PlacementState.MOVING, PlacementState.GONE])
def test_what_is_held_for_an_absent_shard_notices_what_an_operator_did(state: PlacementState) -> None:
    """It is given back at once, to be routed anew; the others stay."""
    stage = Stage()
    first, second, third = stage.offer("c-1", "c-2", "c-3")
    stage.lose_shard()
    stage.directory.set_state("c-2", state)
    del stage.directory.placements["c-3"]
    stage.tend()

    assert [one.given_back for one in (first, second, third)] == [[], [ELSEWHERE], [ELSEWHERE]]
    assert ELSEWHERE.after == timedelta()


def test_what_waits_for_a_shard_that_answers_is_left_alone() -> None:
    """It is looked at when it runs."""
    stage = Stage()
    (task,) = stage.offer("c-1")
    stage.directory.set_state("c-1", PlacementState.PAUSED)
    stage.tend()

    assert task.given_back == []


def test_a_directory_that_is_away_changes_nothing() -> None:
    """Nothing is known of the customer: its parts stay where they are."""
    stage = Stage()
    (task,) = stage.offer("c-1")
    stage.lose_shard()
    stage.directory.error = DirectoryUnavailable("The catalog cannot be asked.")
    stage.tend()

    assert task.given_back == []


def test_an_entry_that_cannot_be_used_hides_nothing_of_the_others() -> None:
    """A mistake about one customer must not keep another from being given up."""
    stage = Stage()
    first, second, third = stage.offer("c-1", "c-2", "c-3")
    stage.lose_shard()
    stage.directory.set_state("c-2", PlacementState.GONE)
    stage.directory.unusable.add("c-3")
    stage.tend()

    assert [one.given_back for one in (first, second, third)] == [[], [ELSEWHERE], [ELSEWHERE]]


def test_a_directory_that_is_slow_for_each_of_many_is_no_hang() -> None:
    """Asked for them one by one, because an entry cannot be used, the keeper makes progress with each."""
    stage = Stage()
    stage.offer("c-1", "c-2", "c-3")
    stage.lose_shard()
    stage.directory.unusable.add("c-3")
    pulse, find = Pulse(stage.time.clock.monotonic), stage.directory.find
    hung: list[bool] = []

    def find_slowly(customer_ids: Sequence[str]) -> dict[str, Placement]:
        stage.time.pass_time(TURN_SECONDS_MAXIMUM - 1)
        hung.append(pulse.step.hangs(stage.time.seconds))
        return find(customer_ids)

    def look() -> None:
        bind(pulse)
        with doing("tends the lanes", TURN_SECONDS_MAXIMUM):
            stage.tend()

    stage.directory.find = find_slowly  # type: ignore[method-assign]
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()

    assert hung == [False] * 4


def test_what_a_slow_lane_cannot_hold_is_given_back() -> None:
    """By the time that passes, without anything coming or going."""
    stage = Stage(held=2)
    tasks = stage.offer("c-1", "c-2", "c-3")
    stage.time.pass_time(5.1)
    stage.keeper.tend()

    assert [[one.code for one in task.given_back] for task in tasks] == [[], [], ["shard_busy"]]


def test_the_keeper_ends_with_the_stop() -> None:
    """It looks once a second until then."""
    stage = Stage()
    stop = QuickStop(after=3)
    LaneKeeper(stage.lanes, stage.directory, stop).run()

    assert stop.waits == [1.0, 1.0, 1.0]
