"""The drain: how a process leaves. What runs is finished and answered, the rest goes back to its queue."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import structlog

from config.settings import Settings
from worker.assembly import Assembly
from worker.clock import Clock
from worker.giving_back import THREAD_PREFIX, give_back
from worker.heartbeat import Heartbeat
from worker.job_in_hand import shutdown_deferral
from worker.lifecycle import STOP_EVENTS, Threads

LAST_WORDS_SECONDS: Final = 5.0
TAKE_BACK_SECONDS: Final = 10.0
GIVE_BACK_SECONDS: Final = 10.0
POLL_PATIENCE_SECONDS: Final = 25.0
LEAVING_SECONDS: Final = (
    TAKE_BACK_SECONDS + GIVE_BACK_SECONDS + POLL_PATIENCE_SECONDS + 2 * LAST_WORDS_SECONDS
)
"""How long it takes at most when `[worker] drain` is over, whatever does not answer."""

LOOK_SECONDS: Final = 0.02

log = structlog.get_logger()


class Drain:
    """Ends a process that was started; `run` it once, from the main thread.

    `next_event` gives the next event that matters to a process that leaves, None at the moment that it is
    given; meanwhile it does the main thread's duties.
    """

    def __init__(
        self,
        assembly: Assembly,
        settings: Settings,
        threads: Threads,
        heartbeat: Heartbeat,
        next_event: Callable[[float], str | None],
        clock: Clock,
    ) -> None:
        self._assembly = assembly
        self._settings = settings
        self._threads = threads
        self._heartbeat = heartbeat
        self._next = next_event
        self._clock = clock
        self._told_to_stop = False

    def run(self, reason: str) -> None:
        """Receive no more, give back what did not start, let what runs finish and be settled, then leave."""
        room, drain = self._assembly.room, self._settings.worker.drain
        self._is_second(reason)
        log.info(
            "worker.stopping",
            reason=reason,
            in_hand=room.taken,
            drain_ms=round(drain.total_seconds() * 1000),
        )
        self._stop_taking()
        self._wait_until_empty(drain)
        self._take_back_starts()
        abandoned = self._leave()
        log.info("worker.stopped", reason=reason, settled=room.settled, abandoned=abandoned)

    def _stop_taking(self) -> None:
        assembly = self._assembly
        assembly.stop.set()
        assembly.room.close()
        assembly.preparer.hurry()
        assembly.groups.stop()
        assembly.work.stop()
        assembly.limited.stop()
        for job in assembly.intake.jobs():
            job.abandon(shutdown_deferral())
        for stage in assembly.settler.stages().values():
            stage.hurry()
        for source in assembly.queues.requests:
            source.interrupt()

    def _wait_until_empty(self, drain: timedelta) -> None:
        deadline = self._clock.monotonic() + drain.total_seconds()
        while (event := self._next(deadline)) is not None:
            if event == "empty":
                return
            if self._is_second(event):
                in_hand = self._assembly.room.taken
                log.warning("worker.stopping", reason=f"second {event}", in_hand=in_hand)
                return

    def _is_second(self, event: str) -> bool:
        """Whether the process is told to stop and was told so before; SIGUSR2 only asks it to leave."""
        if event not in STOP_EVENTS:
            return False
        before, self._told_to_stop = self._told_to_stop, True
        if event == "SIGTERM" and not before:
            # Told without having been asked, the service manager would begin to count the time for a stop.
            self._heartbeat.stopping()
        return before

    def _take_back_starts(self) -> None:
        """On a thread of its own: a shard may not answer, and the others are not to wait for that."""
        self._threads.start("take-back-starts", self._assembly.executor.take_back_starts)
        self._wait_while_alive("take-back-starts", TAKE_BACK_SECONDS)

    def _leave(self) -> int:
        """Let go of everything; how many deliveries were given back unfinished."""
        assembly = self._assembly
        assembly.leases.stop()
        assembly.time_limits.stop()
        abandoned = [held for held in assembly.leases.in_hand() if not held.lost.is_set()]
        give_back(abandoned, self._threads.start)
        self._wait_while_alive(THREAD_PREFIX, GIVE_BACK_SECONDS)
        # A long poll cannot be broken off. Left alone, it could take messages out of sight for a whole lease,
        # those first of all that were released a moment ago.
        self._wait_while_alive("receive-", POLL_PATIENCE_SECONDS)
        assembly.preparer.close()
        for stage in assembly.settler.stages().values():
            stage.close()
        if not abandoned:
            self._close()
        assembly.queues.close()
        return len(abandoned)

    def _close(self) -> None:
        """Let go of what only threads that have ended do not use any more."""
        for prefix in ("settle-", "work-"):
            self._wait_while_alive(prefix, LAST_WORDS_SECONDS)
        self._assembly.fetcher.close()
        self._assembly.shards.close()
        self._assembly.directory.close()

    def _wait_while_alive(self, prefix: str, patience_seconds: float) -> None:
        """Wait for the threads whose names begin so; a signal to stop ends the wait."""
        end = self._clock.monotonic() + patience_seconds
        while self._threads.alive(prefix) and (now := self._clock.monotonic()) < end:
            event = self._next(min(now + LOOK_SECONDS, end))
            if event is not None and self._is_second(event):
                return
