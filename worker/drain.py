"""The drain: how a process leaves. What runs is finished and answered, the rest goes back to its queue."""

from datetime import timedelta
from typing import Final

import structlog

from config.settings import Settings
from worker.assembly import Assembly
from worker.clock import Clock
from worker.held import Held
from worker.job_in_hand import shutdown_deferral
from worker.lifecycle import LifeEvents, Threads
from worker.transports.base import TransportError

LAST_WORDS_SECONDS: Final = 5.0
POLL_PATIENCE_SECONDS: Final = 25.0
POLL_LOOK_SECONDS: Final = 0.05

log = structlog.get_logger()


class Drain:
    """Ends a process that was started; `run` it once, from the main thread."""

    def __init__(
        self, assembly: Assembly, settings: Settings, threads: Threads, events: LifeEvents, clock: Clock
    ) -> None:
        self._assembly = assembly
        self._settings = settings
        self._threads = threads
        self._events = events
        self._clock = clock

    def run(self, reason: str) -> None:
        """Receive no more, give back what did not start, let what runs finish and be settled, then leave."""
        room, drain = self._assembly.room, self._settings.worker.drain
        log.info(
            "worker.stopping",
            reason=reason,
            in_hand=room.taken,
            drain_ms=round(drain.total_seconds() * 1000),
        )
        self._stop_taking()
        self._wait_until_empty(drain)
        abandoned = self._leave()
        log.info("worker.stopped", reason=reason, settled=room.settled, abandoned=abandoned)

    def _stop_taking(self) -> None:
        assembly = self._assembly
        assembly.stop.set()
        assembly.room.close()
        assembly.work.stop()
        for job in assembly.intake.jobs():
            job.abandon(shutdown_deferral())
        for stage in assembly.settler.stages().values():
            stage.hurry()
        for source in assembly.queues.requests:
            source.interrupt()

    def _wait_until_empty(self, drain: timedelta) -> None:
        deadline = self._clock.monotonic() + drain.total_seconds()
        while (left := deadline - self._clock.monotonic()) > 0:
            event = self._events.next(left)
            if event == "empty":
                return
            if event is not None and event.startswith("SIG"):
                in_hand = self._assembly.room.taken
                log.warning("worker.stopping", reason=f"second {event}", in_hand=in_hand)
                return

    def _leave(self) -> int:
        """Let go of everything; how many deliveries were given back unfinished."""
        assembly = self._assembly
        assembly.leases.stop()
        abandoned = [held for held in assembly.leases.in_hand() if not held.lost.is_set()]
        _release_now(abandoned)
        self._await_polls()
        assembly.preparer.close(self._settings.worker.prepare_threads)
        for stage in assembly.settler.stages().values():
            stage.close()
        if not abandoned:
            self._close()
        assembly.queues.close()
        return len(abandoned)

    def _close(self) -> None:
        """Let go of what only threads that have ended do not use any more."""
        self._threads.join("settle-", LAST_WORDS_SECONDS)
        self._threads.join("work-", LAST_WORDS_SECONDS)
        self._assembly.fetcher.close()
        self._assembly.shards.close()
        self._assembly.directory.close()

    def _await_polls(self) -> None:
        """Wait for polls under way, so that what they bring is given back; another signal ends the wait.

        A long poll cannot be broken off: left alone, it could take messages out of sight for a whole lease,
        those first of all that were released a moment ago.
        """
        deadline = self._clock.monotonic() + POLL_PATIENCE_SECONDS
        while self._threads.alive("receive-") and self._clock.monotonic() < deadline:
            event = self._events.next(POLL_LOOK_SECONDS)
            if event is not None and event.startswith("SIG"):
                return


def _release_now(abandoned: list[Held]) -> None:
    """Give back what could not be finished: another worker can take it at once."""
    for source in {held.source for held in abandoned}:
        batch = [(held.delivery, timedelta()) for held in abandoned if held.source is source]
        try:
            source.release(batch)
        except TransportError as error:
            log.warning("settle.failed", queue=source.name, count=len(batch), error=str(error))
