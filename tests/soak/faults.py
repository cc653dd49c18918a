"""Lets the events of a plan happen: to workers at once, to databases beside all else."""

import signal
import threading
from collections import Counter, deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from tests.soak.configuration import LEASE_SECONDS
from tests.soak.databases import Databases
from tests.soak.plan import Event
from tests.soak.workers import Workers

STILL_SECONDS: Final = LEASE_SECONDS + 3.0
AT_ONCE: Final = {"kill": signal.SIGKILL, "stop": signal.SIGTERM}
RESTARTS: Final = frozenset({"restart", "crash", "kill"})


class Faults:
    """The events that are still to come, in their order; `counts` tells what has happened."""

    def __init__(self, events: Iterable[Event], workers: Workers, databases: Databases) -> None:
        self.counts: Counter[str] = Counter()
        self._events = deque(events)
        self._workers = workers
        self._databases = databases
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="faults")
        self._running: list[Future[None]] = []

    @property
    def are_over(self) -> bool:
        """Whether all events have happened and are over."""
        return not self._events and all(one.done() for one in self._running)

    def happen(self, ended: int) -> None:
        """Let happen what is due when so many jobs are ended; what finds no worker alive waits for one."""
        while self._events and self._events[0].after <= ended:
            if not self._begin(self._events[0]):
                return
            self._events.popleft()

    def finish(self) -> None:
        """Wait until all that has begun is over, and raise what went wrong with it."""
        for one in self._running:
            one.result()
        self._threads.shutdown()

    def close(self) -> None:
        """End all waits."""
        self._stop.set()
        self._threads.shutdown(cancel_futures=True)

    def _begin(self, event: Event) -> bool:
        if event.target == "worker" and event.way in AT_ONCE:
            if not self._workers.tell(event.index, AT_ONCE[event.way]):
                return False
        else:
            self._running.append(self._threads.submit(self._happen, event))
        self.counts[name_of(event)] += 1
        return True

    def _happen(self, event: Event) -> None:
        def wait() -> object:
            return self._stop.wait(event.seconds)

        match event.target:
            case "worker":
                self._workers.stand_still(event.index, lambda: self._stop.wait(STILL_SECONDS))
            case "sqlite":
                self._databases.lock_file(wait)
            case server if event.way in RESTARTS:
                self._databases.restart(server, event.way, wait)
            case server if event.way == "cut":
                self._databases.proxies[server].cut()
            case server:
                self._databases.outage(server, event.way, wait)


def name_of(event: Event) -> str:
    """What an event is counted as."""
    if event.target == "worker":
        return {"kill": "kills", "stop": "stops"}.get(event.way, "pauses")
    if event.way in RESTARTS:
        return "database_restarts"
    return "cuts" if event.way == "cut" else "outages"
