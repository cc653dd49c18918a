"""An errand: a command that is run until it has succeeded once."""

import math
import subprocess
import threading
from collections.abc import Callable, Sequence

import structlog

from worker.clock import Clock
from worker.ec2.tries import Tries

log = structlog.get_logger()


class Errand:
    """Runs the command without a shell, with growing pauses between its tries; what it says goes to stderr.

    `tell` is called, from another thread, when the command has ended: it is time for a `turn` then.
    """

    def __init__(self, command: Sequence[str], tell: Callable[[], None], clock: Clock) -> None:
        self._command = list(command)
        self._tell = tell
        self._tries = Tries(clock.random)
        self._runs = False
        self._failure: str | None = None
        self.is_done = False

    def turn(self, now: float) -> float:
        """Start the command if that is due; when the next turn is, infinite while it runs or is done."""
        if self._failure is not None:
            self._note(self._failure, now)
        if self._runs or self.is_done:
            return math.inf
        if now >= self._tries.due_at:
            self._runs = True
            threading.Thread(target=self._run, name="errand", daemon=True).start()
            return math.inf
        return self._tries.due_at

    def _note(self, failure: str, now: float) -> None:
        self._failure = None
        delay_ms = self._tries.fail(now)
        if self._tries.is_worth_a_line:
            log.error(
                "ec2.command_failed",
                command=" ".join(self._command),
                error=failure,
                tries=self._tries.failures,
                delay_ms=delay_ms,
            )

    def _run(self) -> None:
        """On a thread of its own: run the command to its end. `_runs` falls last, when the rest is set."""
        try:
            # S603: the command is the operator's own, from the configuration file
            ended = subprocess.run(  # noqa: S603
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False
            )
            failure = f"exit status {ended.returncode}" if ended.returncode else None
        except OSError as error:
            failure = error.strerror or type(error).__name__
        self._failure, self.is_done = failure, failure is None
        self._runs = False
        self._tell()
