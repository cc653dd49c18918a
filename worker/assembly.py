"""The assembly: builds everything that a job passes through, in the order in which it does."""

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from config.settings import Settings
from handlers.registry import load_registry
from shards.engines import Shards
from shards.open_directory import OpenDirectory, open_directory
from worker.attachments import AttachmentFetcher
from worker.clock import Clock
from worker.directory_log import DirectoryLog
from worker.executor import Executor
from worker.groups import Groups
from worker.held import Room
from worker.intake import Intake, Ways
from worker.lane_keeper import LaneKeeper
from worker.lane_rules import lane_rules
from worker.lane_work import LaneWork
from worker.lanes import Lanes
from worker.leases import Leases
from worker.letters import Letters, open_letters
from worker.limited_parts import LimitedParts
from worker.long_groups import LongGroups
from worker.long_held import LongHeld
from worker.metrics.tally import Tally
from worker.middleware_names import load_middleware
from worker.objects import open_object_store
from worker.opening import Opener
from worker.options import ConsumeOptions
from worker.preparer import Preparer
from worker.receiver import Polling, Receiver
from worker.routing import Router
from worker.running_results import RunningResults
from worker.settler import Outlets, Settler
from worker.signing_jobs import JobSignatures
from worker.tasks import Task
from worker.time_limits import TimeLimits
from worker.transports.base import Transport
from worker.transports.factory import open_transport


@dataclass(frozen=True, slots=True)
class Queues:
    """The queues of the process: those that it receives from, and those that the settler writes to."""

    requests: tuple[Transport, ...]
    outlets: Outlets

    def close(self) -> None:
        """Let go of all connections."""
        for transport in (*self.requests, self.outlets.response, self.outlets.failure):
            transport.close()


@dataclass(frozen=True, slots=True)
class Assembly:
    """What a process is made of. `stop` is set once, when it begins to leave."""

    stop: threading.Event
    room: Room
    leases: Leases
    queues: Queues
    receivers: tuple[Receiver, ...]
    groups: Groups
    preparer: Preparer
    intake: Intake
    router: Router
    executor: Executor
    lanes: Lanes[Task]
    work: LaneWork
    limited: LimitedParts
    time_limits: TimeLimits
    keeper: LaneKeeper
    settler: Settler
    running_results: RunningResults
    shards: Shards
    directory: OpenDirectory
    fetcher: AttachmentFetcher
    signatures: JobSignatures
    tally: Tally


def assemble(
    settings: Settings, options: ConsumeOptions, clock: Clock, tell: Callable[[str], None]
) -> Assembly:
    """Build the process; nothing runs yet. `tell` is told `limit` and `empty` of its room.

    Raises as `worker.daemon.run_daemon` says.
    """
    return _Assembler(settings, options, clock, tell).assemble()


class _Assembler:
    """Builds what several others need first, then the rest."""

    def __init__(
        self, settings: Settings, options: ConsumeOptions, clock: Clock, tell: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._options = options
        self._clock = clock
        self._stop = threading.Event()
        self._concurrency = concurrency(settings, options)
        self._urls = options.queues or tuple(settings.queues.request)
        self._room = Room(
            settings.worker.in_hand_max,
            options.limit,
            on_limit=lambda: tell("limit"),
            on_empty=lambda: tell("empty"),
            queues=len(self._urls),
        )
        keepalive = None if options.keepalive is None else options.keepalive.total_seconds()
        self._groups = Groups()
        lease_seconds = settings.worker.lease.total_seconds()
        self._leases = Leases(lease_seconds, clock, keepalive, self._groups.broken)

    def assemble(self) -> Assembly:
        """The whole, back to front: each stage is given the one that it hands over to."""
        settings, clock, stop = self._settings, self._clock, self._stop
        registry = load_registry(settings.handlers)
        middleware = load_middleware(settings.handlers.middleware)
        shards = Shards(settings.shards, settings.servers)
        tally = Tally(registry)
        threads = settings.worker.prepare_threads + self._concurrency + 1
        store = open_object_store(settings.queues, threads, tally)
        fetcher = AttachmentFetcher(store, settings.attachments, self._attachment_directory(), stop)
        queues = self._open_queues(tally)
        signatures = JobSignatures(settings.signing, settings.symfony)
        letters = open_letters(settings, store, instance_name(), clock, signatures.symfony)
        settler = self._settler(queues, letters, tally)
        opened = open_directory(settings, DirectoryLog(), clock.monotonic, lambda: clock.now().timestamp())
        directory = opened.directory
        time_limits = TimeLimits(clock.monotonic)
        executor = Executor(shards, settings, middleware, clock, stop, directory.forget, time_limits)
        lanes: Lanes[Task] = Lanes(lane_rules(settings, shards, self._concurrency), clock)
        work = LaneWork(lanes, executor, directory, clock, stop, tally.note_part)
        limited = LimitedParts(settings, clock, work.offer)
        router = Router(settings, registry, directory, opened.grants, fetcher, clock)
        interval = settings.worker.running_interval
        running_results = RunningResults(queues.outlets.response, letters.news, interval, clock)
        ways = Ways(lanes.admit, limited.offer, lanes.offer, settler.settle, running_results.note_conclusion)
        opener = Opener(settings, store, signatures)
        intake = Intake(settings, router, fetcher, opener, shards, ways, clock)
        preparer = Preparer(intake.take, settler.settle, stop, settings.worker.prepare_threads)
        settler.tell(self._groups)
        self._groups.connect(lambda held: preparer.put((held,)), settler.give_back)
        return Assembly(
            stop=stop,
            room=self._room,
            leases=self._leases,
            queues=queues,
            receivers=tuple(
                self._receiver(source, preparer, priority) for priority, source in enumerate(queues.requests)
            ),
            groups=self._groups,
            preparer=preparer,
            intake=intake,
            router=router,
            executor=executor,
            lanes=lanes,
            work=work,
            limited=limited,
            time_limits=time_limits,
            keeper=LaneKeeper(lanes, directory, stop, self._chores(lanes, intake, queues)),
            settler=settler,
            running_results=running_results,
            shards=shards,
            directory=opened,
            fetcher=fetcher,
            signatures=signatures,
            tally=tally,
        )

    def _chores(self, lanes: Lanes[Task], intake: Intake, queues: Queues) -> list[Callable[[], None]]:
        """What else is looked after beside the lanes: what has waited in them for too long."""
        hold_maximum = min(queue.hold_maximum for queue in queues.requests)
        return [
            LongHeld(lanes, intake.jobs, self._clock, hold_maximum).give_back,
            LongGroups(self._groups, lanes, intake.jobs, self._room, self._clock).give_back,
        ]

    def _attachment_directory(self) -> Path:
        return self._settings.attachments.directory or self._settings.worker.state_directory / "attachments"

    def _open_queues(self, tally: Tally) -> Queues:
        queues, lease = self._settings.queues, self._settings.worker.lease
        prefetch = prefetch_of(self._settings.worker.in_hand_max, self._concurrency)

        def opened(url: str) -> Transport:
            note_request = partial(tally.note_request, "sqs")
            return open_transport(url, queues, lease, note_request, prefetch=prefetch)

        return Queues(
            requests=tuple(opened(url) for url in self._urls),
            outlets=Outlets(
                response=opened(queues.response),
                failure=opened(queues.failure),
            ),
        )

    def _settler(self, queues: Queues, letters: Letters, tally: Tally) -> Settler:
        return Settler(
            queues.outlets,
            letters,
            self._settings,
            self._leases,
            self._room,
            self._clock,
            tally.note_delivery,
        )

    def _receiver(self, source: Transport, preparer: Preparer, priority: int) -> Receiver:
        lease, options = self._settings.worker.lease, self._options
        polling = Polling(lease, options.fetch_size, options.sleep, priority)
        hand_over = self._groups.put if source.is_ordered else preparer.put
        return Receiver(source, polling, self._room, self._leases, hand_over, self._clock, self._stop)


def prefetch_of(in_hand_max: int, threads: int) -> int:
    """How many messages a broker that pushes may have sent here unacked.

    As many as there is room for; and never fewer than keep every thread busy while acks are on the way.
    """
    return max(in_hand_max, 2 * threads)


def concurrency(settings: Settings, options: ConsumeOptions) -> int:
    """How many worker threads the process has."""
    return options.concurrency or settings.worker.concurrency


def instance_name() -> str:
    """This process in logs and on dead letters: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"
