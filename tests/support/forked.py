"""The command line in a process of its own, without the second that loading its modules takes.

It is forked from a process that has them loaded already. The tests of the demo, of the units under systemd
and of the other commands start it as an operator does.
"""

import atexit
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Lock

import worker.cli

forking = multiprocessing.get_context("forkserver")
PRELOADED = (
    __name__,
    "tests.support.crash_worker",
    "worker.daemon",
    "worker.transports.sql",
    "worker.transports.sqs",
)
"""What a new process finds loaded; there is one process to fork from for all kinds of workers."""


def preload() -> None:
    """Say what is loaded before the first process is forked; later it has no effect."""
    forking.set_forkserver_preload([*PRELOADED])


class ForkedProcess:
    """`shardworker ARGUMENTS` with its output in a file: as much of `subprocess.Popen` as tests need."""

    def __init__(
        self, arguments: Sequence[str], log: Path, directory: Path, environment: Mapping[str, str]
    ) -> None:
        preload()
        self._process: BaseProcess = forking.Process(
            target=_run, args=([*arguments], log, directory, {**environment})
        )
        self._process.start()
        self._lock = Lock()

    @property
    def pid(self) -> int:
        """Its id."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        with self._lock:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status; raises `subprocess.TimeoutExpired` if it still runs after so many seconds."""
        wait([self._process.sentinel], timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        if self.poll() is None:
            self._process.kill()


def _run(arguments: Sequence[str], log: Path, directory: Path, environment: Mapping[str, str]) -> None:
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    with log.open("wb", buffering=0) as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.argv = ["shardworker", *arguments]
    try:
        worker.cli.main()
    finally:
        atexit._run_exitfuncs()  # what an interpreter does at its end, and multiprocessing does not
