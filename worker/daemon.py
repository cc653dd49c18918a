"""The daemon: wires the way of a job through the process, starts it, and drains it when it has to leave."""

import faulthandler
import os
import queue
import socket
import threading
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog

from config.settings import Settings
from handlers.registry import load_registry
from shards.engines import Shards
from shards.open_directory import open_directory
from worker.attachments import AttachmentFetcher
from worker.clock import Clock
from worker.conclusion import Return
from worker.directory_log import DirectoryLog
from worker.executor import Executor
from worker.facts import Facts
from worker.held import Held, Room
from worker.intake import Intake, Ways
from worker.job_in_hand import shutdown_deferral
from worker.lane_keeper import LaneKeeper
from worker.lane_rules import lane_rules
from worker.lane_work import LaneWork
from worker.lanes import Lanes
from worker.leases import Leases
from worker.letters import Letters
from worker.lifecycle import LifeEvents, Threads
from worker.middleware import load_middleware
from worker.objects import open_object_store
from worker.options import ConsumeOptions
from worker.receiver import Receiver
from worker.routing import Router
from worker.settler import Outlets, Settler
from worker.status_file import StatusFile
from worker.tasks import Task
from worker.transports.base import TransportError
from worker.transports.factory import open_transport

EXIT_DONE: Final = 0
EXIT_ERROR: Final = 1
LAST_WORDS_SECONDS: Final = 5.0
POLL_PATIENCE_SECONDS: Final = 25.0
POLL_LOOK_SECONDS: Final = 0.05
IDLE_LOOK_SECONDS: Final = 10.0

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
        self._options = options
        self._clock = clock
        self._stop = threading.Event()
        self._events = LifeEvents()
        self._threads = Threads(lambda name: self._events.put(f"thread {name} died"))
        self._room = Room(
            settings.worker.in_hand_max,
            options.limit,
            on_limit=lambda: self._events.put("limit"),
            on_empty=lambda: self._events.put("empty"),
            receivers=len(options.queues or settings.queues.request),
        )
        self._leases = Leases(settings.worker.lease.total_seconds(), clock)
        self._prepared: queue.SimpleQueue[Held | None] = queue.SimpleQueue()
        self._status = StatusFile(settings.worker.state_directory, instance_name())
        self._wire()

    def run(self) -> int:
        """Start, wait for the end, drain; see `run_daemon`."""
        with self._events.signals():
            started_at = self._clock.monotonic()
            self._start()
            reason = self._wait_for_the_end(started_at)
            self._drain(reason)
        died = reason.startswith("thread ")
        return EXIT_ERROR if died else EXIT_DONE

    def _wire(self) -> None:
        settings, clock = self._settings, self._clock
        registry = load_registry(settings.handlers)
        middleware = load_middleware(settings.handlers.middleware)
        self._concurrency = self._options.concurrency or settings.worker.concurrency
        self._shards = Shards(settings.shards, settings.servers)
        self._store = open_object_store(settings.queues, settings.worker.prepare_threads + 1)
        self._fetcher = AttachmentFetcher(
            self._store, settings.attachments, self._attachment_directory(), self._stop
        )
        self._wire_queues()
        self._opened = open_directory(
            settings, DirectoryLog(), clock.monotonic, lambda: clock.now().timestamp()
        )
        directory, grants = self._opened.directory, self._opened.grants
        self._executor = Executor(self._shards, settings, middleware, clock, self._stop, directory.forget)
        self._lanes: Lanes[Task] = Lanes(lane_rules(settings, self._shards, self._concurrency), clock)
        self._work = LaneWork(self._lanes, self._executor, directory, clock, self._stop)
        self._keeper = LaneKeeper(self._lanes, directory, self._stop)
        router = Router(settings, registry, directory, grants, self._fetcher, clock)
        ways = Ways(self._lanes.admit, self._work.offer, self._lanes.offer, self._settler.settle)
        self._intake = Intake(settings, router, self._fetcher, self._store, self._shards, ways, clock)

    def _wire_queues(self) -> None:
        queues, lease = self._settings.queues, self._settings.worker.lease
        requests = self._options.queues or tuple(queues.request)
        self._requests = [open_transport(url, queues, lease) for url in requests]
        outlets = Outlets(
            response=open_transport(queues.response, queues, lease),
            failure=open_transport(queues.failure, queues, lease),
        )
        self._transports = [*self._requests, outlets.response, outlets.failure]
        letters = Letters(self._store, queues.claim_check_bucket, instance_name(), self._clock)
        self._settler = Settler(outlets, letters, self._settings, self._leases, self._room, self._clock)

    def _attachment_directory(self) -> Path:
        return self._settings.attachments.directory or self._settings.worker.state_directory / "attachments"

    def _start(self) -> None:
        self._threads.start("leases", self._leases.run)
        for name, stage in self._settler.stages().items():
            self._threads.start(f"settle-{name}", stage.run)
        for number in range(self._concurrency):
            self._threads.start(f"work-{number}", self._work.run)
        self._threads.start("keep-lanes", self._keeper.run)
        for number in range(self._settings.worker.prepare_threads):
            self._threads.start(f"prepare-{number}", self._prepare)
        for source in self._requests:
            receiver = Receiver(
                source,
                self._settings.worker.lease,
                self._room,
                self._leases,
                self._prepared.put,
                self._clock,
                self._stop,
            )
            self._threads.start(f"receive-{source.name}", receiver.run)
        log.info(
            "worker.started",
            pid=os.getpid(),
            instance=instance_name(),
            queues=[source.name for source in self._requests],
            concurrency=self._concurrency,
            shard_count=len(self._settings.shards),
        )
        self._write_status()

    def _prepare(self) -> None:
        """A prepare thread: take in what was received; once the worker stops, give it back instead."""
        while (held := self._prepared.get()) is not None:
            if self._stop.is_set():
                deferral = shutdown_deferral()
                self._settler.settle([held], Return(deferral.after, deferral.code), Facts())
            else:
                self._intake.take(held)

    def _wait_for_the_end(self, started_at: float) -> str:
        """Wait for a reason to leave; meanwhile tell how it stands and close idle connections."""
        limit = self._options.time_limit
        end = None if limit is None else started_at + limit.total_seconds()
        interval_seconds = self._settings.metrics.stats_interval.total_seconds()
        next_stats = started_at + interval_seconds
        next_look = started_at + IDLE_LOOK_SECONDS
        while True:
            now = self._clock.monotonic()
            if end is not None and now >= end:
                return "time limit"
            if now >= next_stats:
                self._log_stats()
                self._write_status()
                next_stats = now + interval_seconds
            if now >= next_look:
                self._shards.close_idle()
                self._write_status()
                next_look = now + IDLE_LOOK_SECONDS
            wake = min(next_stats, next_look) if end is None else min(next_stats, next_look, end)
            event = self._events.next(wake - now)
            if event is not None:
                return event

    def _log_stats(self) -> None:
        log.info(
            "worker.stats",
            in_hand=self._room.taken,
            settled=self._room.settled,
            waiting=self._lanes.waiting(),
            away=self._lanes.away(),
            away_servers=self._lanes.away_servers(),
        )

    def _write_status(self) -> None:
        self._status.write(self._clock.now(), self._room.taken, self._lanes.status())

    def _drain(self, reason: str) -> None:
        """Receive no more, give back what did not start, let what runs finish and be settled, then leave."""
        drain = self._settings.worker.drain
        log.info(
            "worker.stopping",
            reason=reason,
            in_hand=self._room.taken,
            drain_ms=round(drain.total_seconds() * 1000),
        )
        self._stop.set()
        self._room.close()
        self._work.stop()
        for job in self._intake.jobs():
            job.abandon(shutdown_deferral())
        for stage in self._settler.stages().values():
            stage.hurry()
        for source in self._requests:
            source.interrupt()
        self._wait_until_empty(drain)
        abandoned = self._leave()
        log.info("worker.stopped", reason=reason, settled=self._room.settled, abandoned=abandoned)

    def _wait_until_empty(self, drain: timedelta) -> None:
        deadline = self._clock.monotonic() + drain.total_seconds()
        while (left := deadline - self._clock.monotonic()) > 0:
            event = self._events.next(left)
            if event == "empty":
                return
            if event is not None and event.startswith("SIG"):
                log.warning("worker.stopping", reason=f"second {event}", in_hand=self._room.taken)
                return

    def _leave(self) -> int:
        """Let go of everything; how many deliveries were given back unfinished."""
        self._leases.stop()
        abandoned = [held for held in self._leases.in_hand() if not held.lost.is_set()]
        self._release_now(abandoned)
        self._await_polls()
        for _ in range(self._settings.worker.prepare_threads):
            self._prepared.put(None)
        for stage in self._settler.stages().values():
            stage.close()
        if not abandoned:
            self._threads.join("settle-", LAST_WORDS_SECONDS)
            self._threads.join("work-", LAST_WORDS_SECONDS)
            self._fetcher.close()
            self._shards.close()
            self._opened.close()
        for transport in self._transports:
            transport.close()
        self._status.remove()
        return len(abandoned)

    def _release_now(self, abandoned: list[Held]) -> None:
        """Give back what could not be finished: another worker can take it at once."""
        for source in {held.source for held in abandoned}:
            batch = [(held.delivery, timedelta()) for held in abandoned if held.source is source]
            try:
                source.release(batch)
            except TransportError as error:
                log.warning("settle.failed", queue=source.name, count=len(batch), error=str(error))

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


def instance_name() -> str:
    """This process in logs and on dead letters: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"
