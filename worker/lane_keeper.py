"""Looks after what waits in the lanes: gives back what they cannot hold or belongs elsewhere by now."""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Final

from shards.directory import Directory, DirectoryUnavailable, Placement, PlacementUnusable
from worker.conclusion import Deferral
from worker.lanes import Lanes
from worker.pulse import doing, move
from worker.tasks import Task

INTERVAL_SECONDS: Final = 1.0
TURNS_TO_LOOK: Final = 5
TURN_SECONDS_MAXIMUM: Final = 120.0
ELSEWHERE: Final = Deferral(timedelta(), "placement_stale")


class LaneKeeper:
    """Runs on a thread of its own until the stop.

    What is held for a shard that is away can be held for long. So every few seconds the directory is asked
    whether its customers are still to be found there: an operator may have paused, moved or given up one.
    As often the `chores` are done, none of which may take long.
    """

    def __init__(
        self,
        lanes: Lanes[Task],
        directory: Directory,
        stop: threading.Event,
        chores: Sequence[Callable[[], None]] = (),
    ) -> None:
        self._lanes = lanes
        self._directory = directory
        self._stop = stop
        self._chores = chores
        self._turns = 0

    def run(self) -> None:
        """Tend the lanes every second until stopped."""
        while not self._stop.wait(INTERVAL_SECONDS):
            with doing("tends the lanes", TURN_SECONDS_MAXIMUM):
                self.tend()

    def tend(self) -> None:
        """One turn: give back the excess, and every few turns what is placed elsewhere."""
        for task, deferral in self._lanes.shed():
            task.give_back(deferral)
        self._turns += 1
        if self._turns % TURNS_TO_LOOK == 0:
            self._give_back_misplaced()
            for chore in self._chores:
                chore()

    def _give_back_misplaced(self) -> None:
        held = self._lanes.held_away()
        if not held:
            return
        customer_ids = {placement.customer_id for task in held for placement in task.placements}
        try:
            found = find_usable(self._directory, customer_ids)
        except DirectoryUnavailable:
            return
        for task in self._lanes.withdraw([task for task in held if is_misplaced(task, found)]):
            task.give_back(ELSEWHERE)


def find_usable(directory: Directory, customer_ids: Collection[str]) -> Mapping[str, Placement]:
    """The customers that can be found: one whose entry is no good is missing, and hides none of the others.

    Raises `DirectoryUnavailable`.
    """
    try:
        return directory.find(tuple(customer_ids))
    except PlacementUnusable:
        return {name: found for one in customer_ids for name, found in _find_one(directory, one).items()}


def _find_one(directory: Directory, customer_id: str) -> Mapping[str, Placement]:
    move()  # there may be many, and the directory may be slow
    try:
        return directory.find((customer_id,))
    except PlacementUnusable:
        return {}


def is_misplaced(task: Task, found: Mapping[str, Placement]) -> bool:
    """Whether one of the task's customers is not, or no longer, where it was when the task was made."""
    return any(found.get(placement.customer_id) != placement for placement in task.placements)
