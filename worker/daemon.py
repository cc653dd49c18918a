"""The daemon: starts the threads of a process, waits for a reason to leave, and lets it drain."""

import faulthandler
import os
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Final

import structlog

from config.settings import Settings
from worker.assembly import assemble, concurrency, instance_name
from worker.clock import Clock
from worker.drain import Drain
from worker.duties import Duties
from worker.heartbeat import Heartbeat, describe
from worker.lifecycle import LifeEvents, Threads
from worker.memory import resident_bytes
from worker.metrics.service import Metrics
from worker.options import ConsumeOptions
from worker.reload import Load, Reloader
from worker.sd_notify import ServiceManager
from worker.stop_marks import FileStopMarks, StopWatch, names_of
from worker.watch import Watch

EXIT_DONE: Final = 0
EXIT_ERROR: Final = 1
EXIT_FOR_GOOD: Final = 79
"""The service manager leaves a process alone that left with this status."""

HOUSEKEEPING: Final = timedelta(seconds=10)
LIMITS_INTERVAL: Final = timedelta(seconds=1)
THREADS_HANG: Final = "most worker threads hang"

log = structlog.get_logger()


def run_daemon(settings: Settings, options: ConsumeOptions, load: Load) -> int:
    """Run until a signal, a limit or a failure of the process itself ends it; the exit status.

    `load` reads the configuration anew, after SIGHUP.

    Raises:
        HandlerConflict, HandlerImportFailed, MiddlewareImportFailed: the configuration names handlers or
            middleware that cannot be had.
        BadQueueUrl: a queue's URL has a form that no transport knows.
        DirectoryImportFailed: the directory's function cannot be imported.
        AttachmentsUnavailable: the directory for attachments cannot be written to.
        SignKeyUnusable: a key for signatures cannot be read, or is too short.
    """
    faulthandler.enable()
    manager = ServiceManager.taken_from(os.environ, os.getpid())
    return Daemon(settings, options, load, manager, Clock()).run()


class Daemon:
    """One process of the worker. Build it, `run` it, once."""

    def __init__(
        self,
        settings: Settings,
        options: ConsumeOptions,
        load: Load,
        manager: ServiceManager,
        clock: Clock,
    ) -> None:
        self._options = options
        self._clock = clock
        self._concurrency = 0
        self._worker_numbers = count()
        self._events = LifeEvents()
        self._threads = Threads(lambda name: self._events.put(f"thread {name} died"), clock.monotonic)
        self._assembly = assemble(settings, options, clock, self._events.put)
        self._watch = Watch(self._threads.running, clock.monotonic, lambda: self._assembly.work.given_up)
        self._metrics = Metrics(settings, self._assembly, self._watch, clock)
        self._reloader = Reloader(self._assembly, settings, options, load, self._set_concurrency)
        self._heartbeat = Heartbeat(
            manager,
            self._watch,
            lambda: describe(self._assembly, self._watch, self._reloader.note),
            lambda: self._assembly.room.taken,
        )

    @property
    def _settings(self) -> Settings:
        return self._reloader.settings

    def run(self) -> int:
        """Start, wait for the end, drain; see `run_daemon`."""
        with self._events.signals():
            started_at = self._clock.monotonic()
            self._start()
            self._heartbeat.ready()
            reason = self._wait_for_the_end(started_at)
            self._drain().run(reason)
            self._metrics.close()
        if reason == "SIGUSR2":
            return EXIT_FOR_GOOD
        is_sick = reason == THREADS_HANG or reason.startswith("thread ")
        return EXIT_ERROR if is_sick else EXIT_DONE

    def _drain(self) -> Drain:
        """The drain; until its end all is told on that the service manager and the EC2 watcher act by."""
        duties = Duties(
            (
                (HOUSEKEEPING, self._metrics.write_status),
                (self._heartbeat.interval, self._heartbeat.beat),
            ),
            self._clock.monotonic,
        )

        def next_event(until: float) -> str | None:
            while (event := duties.wait(self._events.next, until)) == "SIGUSR1":
                self._watch.log_all()
            return event

        return Drain(self._assembly, self._settings, self._threads, self._heartbeat, next_event, self._clock)

    def _start(self) -> None:
        assembly, start = self._assembly, self._threads.start
        start("leases", assembly.leases.run)
        for name, stage in assembly.settler.stages().items():
            start(f"settle-{name}", stage.run)
        self._set_concurrency(concurrency(self._settings, self._options))
        start("look-for-stop", self._stop_watch().run)
        start("keep-lanes", assembly.keeper.run)
        start("tell-running", self._tell_running)
        start("limit-rates", assembly.limited.run)
        start("limit-time", partial(assembly.time_limits.run, self._give_up))
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
        self._metrics.start(self._threads)

    def _stop_watch(self) -> StopWatch:
        marks = self._assembly.directory.catalog or FileStopMarks(self._settings.worker.state_directory)
        return StopWatch(
            marks,
            names_of(instance_name()),
            self._settings.directory.cache,
            self._assembly.stop,
            self._events.put,
        )

    def _set_concurrency(self, threads: int) -> None:
        """Have so many worker threads: start what lacks, let those that are too many end after their part."""
        for _ in range(self._concurrency, threads):
            self._threads.start(f"work-{next(self._worker_numbers)}", self._assembly.work.run)
        self._assembly.lanes.dismiss(max(0, self._concurrency - threads))
        self._concurrency = threads
        self._leave_if_most_hang()

    def _tell_running(self) -> None:
        assembly = self._assembly
        assembly.running_results.run(assembly.intake.jobs, assembly.lanes.away, assembly.stop)

    def _give_up(self, thread: int) -> None:
        """A handler does not come back: do without its thread; without most of them the process leaves."""
        instead = self._assembly.work.give_up(thread)
        if instead is None:
            return
        self._watch.report_given_up(thread)
        self._threads.start("record-part", instead)
        self._leave_if_most_hang()

    def _leave_if_most_hang(self) -> None:
        if len(self._assembly.work.given_up) > self._concurrency // 2:
            self._events.put(THREADS_HANG)

    def _wait_for_the_end(self, started_at: float) -> str:
        """Wait for a reason to leave, and do the duties meanwhile."""
        limit = self._options.time_limit
        end = float("inf") if limit is None else started_at + limit.total_seconds()
        duties = Duties(
            (
                (self._settings.metrics.stats_interval, self._metrics.write_stats),
                (HOUSEKEEPING, self._keep_house),
                (LIMITS_INTERVAL, self._check_limits),
                (self._heartbeat.interval, self._heartbeat.beat),
            ),
            self._clock.monotonic,
        )
        answers = {"SIGUSR1": self._watch.log_all, "SIGHUP": self._reload}
        while (event := duties.wait(self._events.next, end)) in answers:
            answers[event]()
        return event or "time limit"

    def _reload(self) -> None:
        self._heartbeat.reloading(self._clock.monotonic())
        self._reloader.reload()
        self._heartbeat.ready()

    def _check_limits(self) -> None:
        failures, memory = self._options.failure_limit, self._options.memory_limit
        if failures is not None and self._assembly.room.failures >= failures:
            self._events.put("failure limit")
        if memory is not None and (resident_bytes() or 0) > memory:
            self._events.put("memory limit")

    def _keep_house(self) -> None:
        self._assembly.shards.close_idle()
        self._metrics.write_status()
