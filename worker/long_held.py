"""Gives back what has waited for an absent shard for nearly as long as its queue lets a message be held."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from worker.clock import Clock
from worker.conclusion import Deferral
from worker.job_in_hand import JobInHand
from worker.lanes import Lanes
from worker.tasks import Task

HELD_SHARE: Final = 5 / 6
"""SQS ends a hold twelve hours after the receive, RabbitMQ after half an hour; a release takes time."""

HELD_LONG: Final = Deferral(timedelta(minutes=5), "shard_away")


class LongHeld:
    """Looks after what waits in lanes whose shard is away; `jobs` are all that are in hand.

    `hold_maximum` is how long the least patient of the request queues lets a message be held.

    A hold that ends by itself loses nothing: the message comes again and is joined to its job. But it gets
    older with each, and its queue forgets it in the end; given back in time, it is sent anew when it is old.
    """

    def __init__(
        self,
        lanes: Lanes[Task],
        jobs: Callable[[], list[JobInHand]],
        clock: Clock,
        hold_maximum: timedelta,
    ) -> None:
        self._lanes = lanes
        self._jobs = jobs
        self._clock = clock
        self._held_seconds_maximum = hold_maximum.total_seconds() * HELD_SHARE

    def give_back(self) -> None:
        """Give back what has waited too long; what else of these jobs runs goes on to its end.

        A refusal whose inbox is still to be looked at is no job's part: it goes back by its look-up alone.
        """
        since = self._clock.monotonic() - self._held_seconds_maximum
        old = [task for task in self._lanes.held_away() if task.held_since <= since]
        owners = {task.job_key for task in old}
        for job in self._jobs() if old else []:
            if job in owners:
                job.abandon(HELD_LONG)
        for task in self._lanes.withdraw(old):
            task.give_back(HELD_LONG)
