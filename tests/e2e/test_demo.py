"""`shardworker demo`, run for real: its proof, the commands that it prints, and no process left behind."""

import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from worker.demo.place import MARKER

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 90.0
DEMO = (sys.executable, "-m", "worker", "demo")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory to call the demo in, whose name every URL has to quote."""
    directory = tmp_path_factory.mktemp("demo") / "a place, 100% é?#"
    directory.mkdir()
    return directory


@pytest.fixture(scope="module")
def output(home: Path) -> str:
    """What a whole demo prints, its standard output being no terminal."""
    run = call(DEMO, home)
    assert (run.returncode, run.stderr) == (0, ""), run.stdout + run.stderr
    return run.stdout


def test_the_demo_proves_rows_answers_and_dead_letters(output: str) -> None:
    """Each of the three proofs holds, and says so in a line of its own."""
    proofs = [line for line in output.splitlines() if line.startswith("PROVED")]

    assert [line.split()[1] for line in proofs] == ["Rows:", "Answers:", "Dead"]
    assert "PROOF FAILED" not in output


def test_the_demo_shows_every_outcome_and_every_shard(output: str) -> None:
    """The tables name each outcome of a job, each shard, and each code on the failure queue."""
    words = set(output.split())

    assert {"succeeded", "partial", "failed", "rejected", "answered", "500"} <= words
    assert {"north", "south", "west"} <= words
    assert {"bad_message", "php_serialized", "not_granted", "content_conflict", "too_old"} <= words
    assert "jobs per second" in output


def test_output_that_is_no_terminal_has_no_control_codes(output: str) -> None:
    """A file or a pipe gets plain lines: no colour, no progress bar."""
    assert "\x1b" not in output
    assert "\r" not in output


def test_every_command_that_the_demo_prints_works(output: str, home: Path) -> None:
    """The printed lines can be pasted into a shell as they are; each one finds what it was printed for."""
    lines = [shlex.split(line, comments=True) for line in output.splitlines() if " --config " in line]
    outputs = {}
    for line in lines:
        run = call(line, home)
        assert (run.returncode, run.stderr) == (0, ""), run.stdout + run.stderr
        outputs[" ".join(line[3:-2])] = run.stdout
    explained, copied, *others = outputs

    assert [name.split()[0] for name in (explained, copied)] == ["explain", "explain"]
    assert {"succeeded", "failed"} <= set(outputs[explained].split())
    assert "failed" not in outputs[copied].split("Nothing of it")[0]
    assert [name.rstrip("0123456789 ") for name in others] == ["results", "failed list", "failed show"]
    assert "demo-0" in outputs["results"]
    assert "too_old" in outputs["failed list"]


def test_the_worker_of_the_demo_leaves_in_good_order(output: str, home: Path) -> None:
    """It settles each of the 500 messages once, is told to leave by SIGTERM, and gives nothing back."""
    last = log_of(home / "demo")[-1]

    assert "worker.log" in output
    assert (last["event"], last["reason"]) == ("worker.stopped", "SIGTERM")
    assert (last["settled"], last["abandoned"]) == (500, 0)


def test_on_a_terminal_a_second_demo_replaces_the_first_with_a_progress_bar(output: str, home: Path) -> None:
    """The directory of an earlier demo is known by its marker and made anew; a terminal sees the progress."""
    del output
    left_over = home / "demo" / "left-over"
    left_over.write_text("of the first demo")
    status, shown = call_on_terminal([*DEMO, "demo"], home)

    assert status == 0, shown
    assert "500/500" in shown
    assert shown.count("PROVED") == 3
    assert not left_over.exists()


def test_a_directory_that_no_demo_made_is_left_as_it_is(tmp_path: Path) -> None:
    """One line says why and what to do; nothing in the directory changes."""
    precious = tmp_path / "demo" / "precious.txt"
    precious.parent.mkdir()
    precious.write_text("mine")
    run = call([*DEMO, str(precious.parent)], tmp_path)

    assert run.returncode == 1
    assert run.stderr.startswith("shardworker: ")
    assert "Name another directory" in run.stderr
    assert list(precious.parent.iterdir()) == [precious]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_stopped_leaves_no_process_behind(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C goes to the terminal's whole group, other signals to the demo alone: its worker ends with it."""
    process = subprocess.Popen(
        [*DEMO, str(tmp_path / "demo")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        worker = wait_for_worker(tmp_path / "demo")
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)

        assert process.wait(PATIENCE_SECONDS) != 0
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
    finally:
        process.kill()
        process.wait()


def test_a_worker_that_cannot_start_is_told_with_its_log(tmp_path: Path) -> None:
    """The demo does not wait for a worker that is gone: it says so, and where to look."""
    sabotage = tmp_path / "sabotage"
    sabotage.mkdir()
    (sabotage / "sitecustomize.py").write_text(
        "import sys\nif 'consume' in sys.orig_argv:\n    raise SystemExit('sabotaged')\n"
    )
    run = call([*DEMO, str(tmp_path / "demo")], tmp_path, PYTHONPATH=f"{sabotage}{os.pathsep}{ROOT}")

    assert run.returncode == 1
    assert "worker ended before all was settled" in run.stderr
    assert "worker.log" in run.stderr
    assert (tmp_path / "demo" / MARKER).exists()


def call(command: Sequence[str], directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of ours in the directory."""
    return subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


def call_on_terminal(command: Sequence[str], directory: Path) -> tuple[int, str]:
    """Run a command of ours on a terminal; its exit status and all that the terminal got."""
    ours, its = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "200"}
    process = subprocess.Popen(command, cwd=directory, env=environment, stdout=its, stderr=its)
    os.close(its)
    shown = bytearray()
    # Linux ends a terminal that nobody writes to any more with an error.
    with suppress(OSError):
        while chunk := os.read(ours, 65536):
            shown += chunk
    os.close(ours)
    return process.wait(PATIENCE_SECONDS), shown.decode()


def log_of(directory: Path) -> list[dict[str, Any]]:
    """The whole lines of the worker's log."""
    path = directory / "worker.log"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


def wait_for_worker(directory: Path) -> int:
    """The worker's process id, once its log tells that it has begun."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for line in log_of(directory):
            if line["event"] == "worker.started":
                return int(line["pid"])
        time.sleep(0.01)
    raise AssertionError("the worker of the demo did not start")
