"""The status file: written whole, read while its process lives."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from worker.status_file import DIRECTORY, LaneStatus, StatusFile, WorkerStatus, read_statuses

AT = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
LANES = {"eu1": LaneStatus(waiting=3, running=2, away=False), "eu2": LaneStatus(0, 1, away=True)}
STATUS = WorkerStatus(os.getpid(), "host:1", AT, 7, LANES)


def dead_pid() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """The last state, and nothing else is left in the directory."""
    file = StatusFile(tmp_path)
    file.write(WorkerStatus(os.getpid(), "host:1", AT, 9, {}))
    file.write(STATUS)
    (status,) = read_statuses(tmp_path)

    assert (status.pid, status.instance, status.at, status.in_hand) == (os.getpid(), "host:1", AT, 7)
    assert status.lanes == LANES
    assert [path.name for path in (tmp_path / DIRECTORY).iterdir()] == [f"{os.getpid()}.json"]


def test_a_worker_that_left_is_not_told_of(tmp_path: Path) -> None:
    """It takes its file with it, however often it says so."""
    file = StatusFile(tmp_path)
    file.write(STATUS)
    file.remove()
    file.remove()

    assert read_statuses(tmp_path) == []


def test_the_file_of_a_dead_worker_is_ignored_and_removed(tmp_path: Path) -> None:
    """After a SIGKILL nobody else would."""
    StatusFile(tmp_path).write(STATUS)
    own = tmp_path / DIRECTORY / f"{os.getpid()}.json"
    pid = dead_pid()
    dead = own.with_name(f"{pid}.json")
    dead.write_text(own.read_text().replace(f'"pid":{os.getpid()}', f'"pid":{pid}'))

    assert [status.pid for status in read_statuses(tmp_path)] == [os.getpid()]
    assert not dead.exists()


@pytest.mark.parametrize("text", ["", "{", '{"pid": "x"}'])
def test_a_file_that_cannot_be_read_is_left_out(tmp_path: Path, text: str) -> None:
    """Of another release, say."""
    (tmp_path / DIRECTORY).mkdir()
    (tmp_path / DIRECTORY / "1.json").write_text(text)

    assert read_statuses(tmp_path) == []


def test_no_directory_is_no_worker(tmp_path: Path) -> None:
    """`shards list` works where no worker ever ran."""
    assert read_statuses(tmp_path / "missing") == []


def test_a_directory_that_cannot_be_written_to_is_logged_once(tmp_path: Path) -> None:
    """The worker goes on: it only cannot tell how it stands."""
    (tmp_path / DIRECTORY).write_text("a file in the way")
    file = StatusFile(tmp_path)
    with capture_logs() as lines:
        file.write(STATUS)
        file.write(STATUS)

    assert [line["event"] for line in lines] == ["worker.status_failed"]
