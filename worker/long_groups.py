"""Gives back what waits in its group behind a job that takes long: the queue keeps its order too."""

from collections.abc import Callable
from typing import Final

from worker.clock import Clock
from worker.groups import Groups
from worker.held import Held, Room
from worker.job_in_hand import JobInHand
from worker.lanes import Lanes
from worker.tasks import Task

LONG_SECONDS: Final = 5.0
"""Who is not done so long after it was taken in may be behind a slow shard, or a rate limit."""


class LongGroups:
    """Looks after what waits behind such jobs; `jobs` are all that are in hand.

    What may be held for a shard, or a rate limit, counts jobs. With nine followers of each one shard would
    soon have all places of the room. A shard that is away keeps its jobs for long, so they go back then; else
    only while a queue waits for places, for it costs one more receive of each.
    """

    def __init__(
        self,
        groups: Groups,
        lanes: Lanes[Task],
        jobs: Callable[[], list[JobInHand]],
        room: Room,
        clock: Clock,
    ) -> None:
        self._groups = groups
        self._lanes = lanes
        self._jobs = jobs
        self._room = room
        self._clock = clock

    def give_back(self) -> None:
        """Give it back now."""
        away = {task.job_key for task in self._lanes.held_away()}
        is_awaited = self._room.is_awaited
        if not away and not is_awaited:
            return
        since = self._clock.monotonic() - LONG_SECONDS
        self._groups.send_back_behind(
            held
            for job in self._jobs()
            for held in job.held
            if held.source.is_ordered and (job in away or (is_awaited and _is_in_since(held, since)))
        )


def _is_in_since(held: Held, moment: float) -> bool:
    return held.prepared_at is not None and held.prepared_at <= moment
