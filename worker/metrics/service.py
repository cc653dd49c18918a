"""The metrics of a running process: answers on its socket and port, the stats line, and the status file."""

from collections.abc import Callable
from functools import cached_property
from socket import socket
from typing import TYPE_CHECKING, Final

import structlog

from config.settings import Settings
from worker.assembly import Assembly, instance_name
from worker.clock import Clock
from worker.lifecycle import Threads
from worker.metrics.endpoint import Endpoint, listen_on_path, listen_on_port
from worker.metrics.pages import Pages
from worker.metrics.queue_depths import Place, QueueDepths
from worker.metrics.state import State
from worker.metrics.stats_line import StatsLine
from worker.status_file import StatusFile
from worker.transports.base import Transport
from worker.version import installed_version
from worker.watch import Watch

if TYPE_CHECKING:
    from worker.metrics.exposition import Exposition

UNKNOWN_VERSION: Final = "unknown"

log = structlog.get_logger()


class Metrics:
    """Tells others of the process. Whatever fails here is logged, and the worker goes on.

    It listens on a Unix socket in the state directory, for commands on the same machine, and on a port where
    one is configured. Only then it asks the queues how long they are.
    """

    def __init__(self, settings: Settings, assembly: Assembly, watch: Watch, clock: Clock) -> None:
        self._settings = settings
        self._assembly = assembly
        self._state = State(assembly, watch, clock)
        self._status_file = StatusFile(settings.worker.state_directory)
        self._stats_line = StatsLine(assembly, self._state, clock, emf=settings.metrics.emf)
        self._depths = QueueDepths(_queues(assembly), settings.metrics.stats_interval, assembly.stop)
        self._endpoints: list[Endpoint] = []

    @property
    def addresses(self) -> list[str]:
        """Where it listens."""
        return [endpoint.address for endpoint in self._endpoints]

    def start(self, threads: Threads) -> None:
        """Answer from now on."""
        self.write_status()
        path = self._status_file.socket
        if path is not None:
            self._serve(str(path), lambda: listen_on_path(path))
        listen = self._settings.metrics.listen
        if listen is not None:
            self._serve(listen, lambda: listen_on_port(*read_listen(listen)))
            threads.start("ask-depths", self._depths.run)

    def write_stats(self) -> None:
        """Write the line `worker.stats`."""
        self._stats_line.write()

    def write_status(self) -> None:
        """Write the status file."""
        self._status_file.write(self._state.status())

    def close(self) -> None:
        """Answer no more, and leave nothing behind."""
        for endpoint in self._endpoints:
            endpoint.close()
        self._status_file.remove()

    def _serve(self, address: str, listen: Callable[[], socket]) -> None:
        try:
            endpoint = Endpoint(listen(), Pages(self._state, self._text).answer)
        except OSError as error:
            log.warning("worker.metrics_failed", address=address, error=error.strerror or str(error))
            return
        endpoint.start()
        self._endpoints.append(endpoint)

    def _text(self) -> bytes:
        return self._exposition.text()

    @cached_property
    def _exposition(self) -> "Exposition":
        # Imported when somebody asks: a process that nobody asks does without the library.
        from worker.metrics.exposition import exposition

        version = installed_version() or UNKNOWN_VERSION
        return exposition(self._assembly, self._state, self._depths, version, instance_name())


def read_listen(listen: str) -> tuple[str, range]:
    """Host and ports of `host:port` or `host:first-last`, as the configuration has it."""
    host, _, ports = listen.rpartition(":")
    first, _, last = ports.partition("-")
    return host.strip("[]"), range(int(first), int(last or first) + 1)


def _queues(assembly: Assembly) -> dict[Place, Transport]:
    queues = assembly.queues
    outlets = {"response": queues.outlets.response, "failure": queues.outlets.failure}
    requests = {Place(queue.name, "request"): queue for queue in queues.requests}
    return {**requests, **{Place(queue.name, role): queue for role, queue in outlets.items()}}
