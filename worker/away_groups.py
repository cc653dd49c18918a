"""Gives back what waits in its group behind a job whose shard is away: the queue keeps its order too."""

from collections.abc import Callable

from worker.groups import Groups
from worker.job_in_hand import JobInHand
from worker.lanes import Lanes
from worker.tasks import Task


class AwayGroups:
    """Looks after what waits behind such jobs; `jobs` are all that are in hand.

    A job is held for long then, and with it the places that its followers take: with ten messages of each
    group, one shard would soon have all the places.
    """

    def __init__(self, groups: Groups, lanes: Lanes[Task], jobs: Callable[[], list[JobInHand]]) -> None:
        self._groups = groups
        self._lanes = lanes
        self._jobs = jobs

    def give_back(self) -> None:
        """Give it back now."""
        owners = {task.job_key for task in self._lanes.held_away()}
        if owners:
            self._groups.send_back_behind(
                held for job in self._jobs() if job in owners for held in job.held if held.source.is_ordered
            )
