"""How the process stands at this moment: read from its parts when somebody asks, by any thread."""

import os
from datetime import timedelta
from typing import Final

from worker.assembly import Assembly, instance_name
from worker.clock import Clock
from worker.status_file import WorkerStatus
from worker.watch import Watch

LOOK_SECONDS_MAXIMUM: Final = 30.0
"""The main thread looks after the others every five seconds at most; without a look for so long it hangs."""


class State:
    """Tells how the process stands; thread-safe, and never waits for more than a short lock."""

    def __init__(self, assembly: Assembly, watch: Watch, clock: Clock) -> None:
        self._assembly = assembly
        self._watch = watch
        self._clock = clock

    @property
    def moves(self) -> bool:
        """Whether every thread moved a moment ago."""
        return self._watch.moved_within(LOOK_SECONDS_MAXIMUM)

    @property
    def ready(self) -> bool:
        """Whether the process receives, and was not told to leave."""
        return not self._assembly.stop.is_set()

    def oldest_seconds(self) -> float:
        """For how long the oldest delivery in hand has been held; zero while there is none."""
        oldest = min((held.started_at for held in self._assembly.leases.in_hand()), default=None)
        return 0.0 if oldest is None else max(0.0, self._clock.monotonic() - oldest)

    def queues_away(self) -> list[str]:
        """The request queues that could not be asked the last time."""
        return [receiver.queue_name for receiver in self._assembly.receivers if receiver.is_away]

    def not_accepted(self) -> list[str]:
        """The stages of settling that nothing got through the last time."""
        stages = self._assembly.settler.stages()
        return [name for name, stage in stages.items() if stage.is_stuck]

    def hanging(self) -> list[str]:
        """The threads that hung at the last look."""
        return self._watch.hanging

    def status(self) -> WorkerStatus:
        """All of it, for commands on the same machine."""
        assembly, now = self._assembly, self._clock.now()
        since = assembly.work.running_since()
        running = None if since is None else now - timedelta(seconds=self._clock.monotonic() - since)
        in_hand, oldest_seconds = assembly.room.taken, self.oldest_seconds()
        return WorkerStatus(
            pid=os.getpid(),
            instance=instance_name(),
            at=now,
            in_hand=in_hand,
            lanes=assembly.lanes.status(),
            running_since=running,
            oldest_since=now - timedelta(seconds=oldest_seconds) if in_hand else None,
            in_hand_max=assembly.room.capacity,
            settled=assembly.room.settled,
            failed=assembly.room.failed,
            queues_away=self.queues_away(),
            not_accepted=self.not_accepted(),
            servers_away=assembly.lanes.away_servers(),
            hanging=self.hanging(),
            given_up=len(assembly.work.given_up),
            leaving=not self.ready,
        )
