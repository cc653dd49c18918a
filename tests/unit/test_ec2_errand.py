"""An errand: the command runs until it has succeeded once."""

import math
import os
import queue
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.fakes import ManualTime
from worker.ec2.errand import Errand

PATIENCE_SECONDS = 60


class Run:
    """An errand, and word of each end of its command."""

    def __init__(self, *command: str) -> None:
        self.time = ManualTime(chance=0.5)
        self.ends: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.errand = Errand(command, lambda: self.ends.put(None), self.time.clock)

    def run_once(self) -> float:
        """Let the command run when it is due, and end; when the next turn is."""
        due_at = self.errand.turn(self.time.seconds)
        if due_at < math.inf:
            self.time.seconds = due_at
            self.errand.turn(due_at)
        self.ends.get(timeout=PATIENCE_SECONDS)
        return self.errand.turn(self.time.seconds)


def test_a_command_that_succeeds_is_run_once() -> None:
    """Without a shell: its arguments are its own."""
    run = Run("test", "a b", "=", "a b")

    assert run.run_once() == math.inf
    assert run.errand.is_done
    assert run.errand.turn(run.time.seconds + 1000) == math.inf
    assert run.ends.empty()


def test_a_command_that_fails_is_run_again_with_growing_pauses(tmp_path: Path) -> None:
    """Until it succeeds; the first failure is logged, not each."""
    run = Run("test", "-e", str(tmp_path / "there"))
    begun = run.time.seconds
    with capture_logs() as lines:
        moments = [run.run_once() - begun for _ in range(4)]
        (tmp_path / "there").touch()
        run.run_once()

    assert moments == [0.75, 2.25, 5.25, 11.25]
    assert run.errand.is_done
    assert [(line["error"], line["tries"], line["delay_ms"]) for line in lines] == [("exit status 1", 1, 750)]


@pytest.mark.parametrize("command", ["/no/such/program", "/"])
def test_a_command_that_cannot_be_run_is_told_of(command: str) -> None:
    """As a command that fails, for it may be mended."""
    run = Run(command)
    with capture_logs() as lines:
        assert run.run_once() < math.inf

    assert not run.errand.is_done
    assert lines[0]["event"] == "ec2.command_failed"
    assert lines[0]["error"] in {"No such file or directory", "Permission denied"}


def test_while_the_command_runs_it_is_not_started_again(tmp_path: Path) -> None:
    """However often a turn is taken."""
    os.mkfifo(tmp_path / "go-on")
    run = Run("sh", "-c", f"cd {tmp_path} && echo begun >> begun && read line < go-on")
    turns = [run.errand.turn(run.time.seconds + seconds) for seconds in (0, 1, 500)]
    (tmp_path / "go-on").write_text("now\n")
    run.ends.get(timeout=PATIENCE_SECONDS)

    assert turns == [math.inf] * 3
    assert run.errand.is_done
    assert (tmp_path / "begun").read_text() == "begun\n"
