"""The soak's workers: processes that are started again when they end, as a service manager does."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.soak.handlers import NOTES
from tests.support.forked import ForkedProcess
from tests.support.world import ROOT, LogFile

AGAIN_AFTER_SECONDS: Final = 0.3
LEAVING_SECONDS_MAXIMUM: Final = 150.0
ENVIRONMENT: Final = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "PYTHONPATH": str(ROOT),
}


@dataclass
class Process(LogFile):
    """A process and its log; `told` is the signal that it was sent to end it."""

    process: ForkedProcess
    log_path: Path
    told: signal.Signals | None = None


@dataclass
class Workers:
    """So many workers, each of which is replaced when it ends; `ends` counts how they ended.

    A process that ended as nobody told it to stands in `unexpected`, unless jobs of the plan kill processes.
    """

    directory: Path
    count: int
    has_killers: bool
    bend: str | None = None
    ends: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    _started: list[Process] = field(default_factory=list)
    _slots: list[Process | None] = field(default_factory=list)
    _empty_since: dict[int, float] = field(default_factory=dict)

    def start(self) -> None:
        """Start all."""
        (self.directory / "notes").mkdir()
        self._slots = [self._new() for _ in range(self.count)]

    def keep(self) -> None:
        """Note who ended, and start another one in its place a moment later."""
        for number, process in enumerate(self._slots):
            if process is None:
                if time.monotonic() - self._empty_since[number] > AGAIN_AFTER_SECONDS:
                    self._slots[number] = self._new()
            elif (status := process.process.poll()) is not None:
                self._note_end(process, status)
                self._slots[number] = None
                self._empty_since[number] = time.monotonic()

    def tell(self, number: int, signal_number: signal.Signals) -> bool:
        """Let a worker end by this signal; False if there is none now that was not told to end already."""
        process = self._slots[number % self.count]
        if process is None or process.told is not None or process.process.poll() is not None:
            return False
        process.told = signal_number
        process.process.send_signal(signal_number)
        return True

    def stand_still(self, number: int, wait: Callable[[], object]) -> None:
        """Let a worker do nothing until `wait` is over, whether it is alive then or not."""
        process = self._slots[number % self.count]
        if process is not None:
            process.process.send_signal(signal.SIGSTOP)
            wait()
            process.process.send_signal(signal.SIGCONT)

    def leave(self) -> None:
        """Let all leave in good order."""
        for number in range(self.count):
            self.tell(number, signal.SIGTERM)
        for process in filter(None, self._slots):
            self._note_end(process, process.process.wait(LEAVING_SECONDS_MAXIMUM))
        self._slots = []

    def close(self) -> None:
        """End what still runs."""
        for process in self._started:
            process.process.kill()
            process.process.wait()

    def lines(self) -> Iterator[dict[str, Any]]:
        """All lines of all logs."""
        for process in self._started:
            yield from process.log()

    def _new(self) -> Process:
        log = self.directory / f"worker-{len(self._started):03}.log"
        arguments = ["consume", "--config", str(self.directory / "config.toml")]
        own = {NOTES: str(self.directory / "notes"), "SOAK_BEND": self.bend or ""}
        variables: Mapping[str, str] = {**os.environ, **ENVIRONMENT, **own}
        process = Process(ForkedProcess(arguments, log, ROOT, variables), log)
        self._started.append(process)
        return process

    def _note_end(self, process: Process, status: int) -> None:
        if process.told == signal.SIGKILL and status == -signal.SIGKILL:
            self.ends["killed"] += 1
        elif process.told == signal.SIGTERM and (status == 0 or self._was_starting(process, status)):
            self.ends["left"] += 1
        elif status == -signal.SIGKILL and self.has_killers:
            self.ends["killed by a job"] += 1
        else:
            self.ends["unexpected"] += 1
            self.unexpected.append(f"{process.log_path.name} ended with {status}, told {process.told!r}")

    @staticmethod
    def _was_starting(process: Process, status: int) -> bool:
        """Whether the signal came before the process could take care of any."""
        return status == -signal.SIGTERM and not process.events("worker.started")
