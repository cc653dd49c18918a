"""The daemon: starts the threads of a process, waits for a reason to leave, and lets it drain."""

import faulthandler
import os
from datetime import timedelta
from typing import Final

import structlog

from config.settings import Settings
from worker.assembly import assemble, concurrency, instance_name
from worker.clock import Clock
from worker.drain import Drain
from worker.duties import Duties
from worker.lifecycle import LifeEvents, Threads
from worker.options import ConsumeOptions
from worker.status_file import StatusFile

EXIT_DONE: Final = 0
EXIT_ERROR: Final = 1
HOUSEKEEPING: Final = timedelta(seconds=10)

log = structlog.get_logger()


def run_daemon(settings: Settings, options: ConsumeOptions) -> int:
    """Run until a signal, a limit or a failure of the process itself ends it; the exit status.

    Raises:
        HandlerConflict, HandlerImportFailed, MiddlewareImportFailed: the configuration names handlers or
            middleware that cannot be had.
        BadQueueUrl: a queue's URL has a form that no transport knows.
        DirectoryImportFailed: the directory's function cannot be imported.
        AttachmentsUnavailable: the directory for attachments cannot be written to.
    """
    faulthandler.enable()
    return Daemon(settings, options, Clock()).run()


class Daemon:
    """One process of the worker. Build it, `run` it, once."""

    def __init__(self, settings: Settings, options: ConsumeOptions, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._time_limit = options.time_limit
        self._concurrency = concurrency(settings, options)
        self._events = LifeEvents()
        self._threads = Threads(lambda name: self._events.put(f"thread {name} died"))
        self._status = StatusFile(settings.worker.state_directory, instance_name())
        self._assembly = assemble(settings, options, clock, self._events.put)

    def run(self) -> int:
        """Start, wait for the end, drain; see `run_daemon`."""
        with self._events.signals():
            started_at = self._clock.monotonic()
            self._start()
            reason = self._wait_for_the_end(started_at)
            Drain(self._assembly, self._settings, self._threads, self._events, self._clock).run(reason)
            self._status.remove()
        died = reason.startswith("thread ")
        return EXIT_ERROR if died else EXIT_DONE

    def _start(self) -> None:
        assembly, start = self._assembly, self._threads.start
        start("leases", assembly.leases.run)
        for name, stage in assembly.settler.stages().items():
            start(f"settle-{name}", stage.run)
        for number in range(self._concurrency):
            start(f"work-{number}", assembly.work.run)
        start("keep-lanes", assembly.keeper.run)
        start("tell-running", self._tell_running)
        for number in range(self._settings.worker.prepare_threads):
            start(f"prepare-{number}", assembly.preparer.run)
        for receiver in assembly.receivers:
            start(f"receive-{receiver.queue_name}", receiver.run)
        log.info(
            "worker.started",
            pid=os.getpid(),
            instance=instance_name(),
            queues=[source.name for source in assembly.queues.requests],
            concurrency=self._concurrency,
            shard_count=len(self._settings.shards),
        )
        self._write_status()

    def _tell_running(self) -> None:
        assembly = self._assembly
        assembly.running_results.run(assembly.intake.jobs, assembly.lanes.away, assembly.stop)

    def _wait_for_the_end(self, started_at: float) -> str:
        """Wait for a reason to leave, and do the duties meanwhile."""
        limit = self._time_limit
        end = float("inf") if limit is None else started_at + limit.total_seconds()
        duties = Duties(
            ((self._settings.metrics.stats_interval, self._log_stats), (HOUSEKEEPING, self._keep_house)),
            self._clock.monotonic,
        )
        while (now := self._clock.monotonic()) < end:
            event = self._events.next(min(duties.do_due(), end) - now)
            if event is not None:
                return event
        return "time limit"

    def _keep_house(self) -> None:
        self._assembly.shards.close_idle()
        self._write_status()

    def _log_stats(self) -> None:
        room, lanes = self._assembly.room, self._assembly.lanes
        log.info(
            "worker.stats",
            in_hand=room.taken,
            settled=room.settled,
            waiting=lanes.waiting(),
            away=lanes.away(),
            away_servers=lanes.away_servers(),
        )

    def _write_status(self) -> None:
        assembly, now = self._assembly, self._clock.now()
        since = assembly.work.running_since()
        running_since = None if since is None else now - timedelta(seconds=self._clock.monotonic() - since)
        self._status.write(now, assembly.room.taken, assembly.lanes.status(), running_since)
