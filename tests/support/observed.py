"""A process for tests of what it tells: built and not started, with a clock and threads of the test's."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from tests.support.fakes import ManualTime
from tests.support.site import Site
from worker.assembly import Assembly, assemble
from worker.metrics.exposition import Exposition, exposition
from worker.metrics.queue_depths import QueueDepths
from worker.metrics.state import State
from worker.metrics.stats_line import StatsLine
from worker.metrics.tally import Tally
from worker.options import ConsumeOptions
from worker.pulse import Pulse
from worker.watch import Watch

DONE: dict[str, Any] = {
    "type": "orders.insert",
    "outcome": "succeeded",
    "error_code": None,
    "copy": False,
    "database_ms": 20.0,
    "total_ms": 40.0,
    "queue_wait_ms": 300.0,
    "queue": "requests",
    "receive_count": 1,
}
"""The line of a delivery that went well."""


class ObservedProcess:
    """A process that is built and not started, with a clock and threads of the test's."""

    def __init__(self, directory: Path) -> None:
        self.time = ManualTime()
        site = Site(directory)
        self.assembly: Assembly = assemble(site.settings, ConsumeOptions(), self.time.clock, lambda _: None)
        self.pulse = Pulse(self.time.clock.monotonic)
        threads = [(threading.current_thread(), self.pulse)]
        self.watch = Watch(lambda: threads, self.time.clock.monotonic)
        self.state = State(self.assembly, self.watch, self.time.clock)
        self.depths = QueueDepths({}, timedelta(minutes=1), self.assembly.stop)
        self.exposition: Exposition = exposition(self.assembly, self.state, self.depths, "1.2", "host:1")

    @property
    def tally(self) -> Tally:
        """What it counted."""
        return self.assembly.tally

    def line(self, stats_line: StatsLine) -> dict[str, Any]:
        """The line that is written now."""
        with capture_logs() as lines:
            stats_line.write()
        (line,) = lines
        return dict(line)

    def close(self) -> None:
        """Let go of everything."""
        self.assembly.queues.close()
        self.assembly.fetcher.close()
        self.assembly.shards.close()
        self.assembly.directory.close()
