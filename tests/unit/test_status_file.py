"""The status file: written whole, read while its process lives, whatever the process's number is."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from worker.instance_files import DIRECTORY, Claim
from worker.status_file import LaneStatus, StatusFile, WorkerStatus, read_statuses, read_workers

AT = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
LANES = {"eu1": LaneStatus(waiting=3, running=2, away=False), "eu2": LaneStatus(0, 1, away=True)}
STATUS = WorkerStatus(os.getpid(), "host:1", AT, 7, LANES)
KILLED = """
import os, signal, sys
from pathlib import Path
from worker.instance_files import Claim
own = os.getpid()
os.getpid = lambda: int(sys.argv[2]) if sys.argv[2:] else own
claim = Claim(Path(sys.argv[1]))
claim.files.status.write_bytes(sys.stdin.buffer.read())
claim.files.socket.touch()
claim.files.new_status.touch()
os.kill(own, signal.SIGKILL)
"""


@contextmanager
def written(directory: Path, status: WorkerStatus = STATUS) -> Iterator[StatusFile]:
    """The file of a worker that wrote it and lives."""
    with ExitStack() as stack:
        file = StatusFile(directory)
        stack.callback(file.remove)
        file.write(status)
        yield file


def leave_behind(directory: Path, *number: int) -> int:
    """The files of a worker that was killed, which thought that its number was this one; its number."""
    script = [sys.executable, "-c", KILLED, str(directory), *map(str, number)]
    with subprocess.Popen(script, stdin=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        process.communicate(msgspec.json.encode(STATUS))
    assert process.returncode == -signal.SIGKILL
    return process.pid


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / DIRECTORY).iterdir())


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """The last state; and nothing is left of how it was written."""
    with written(tmp_path, WorkerStatus(os.getpid(), "host:1", AT, 9, {})) as file:
        file.write(STATUS)
        (status,) = read_statuses(tmp_path)

        assert (status.pid, status.instance, status.at, status.in_hand) == (os.getpid(), "host:1", AT, 7)
        assert status.lanes == LANES
        assert names_in(tmp_path) == [f"{os.getpid()}.json", f"{os.getpid()}.lock"]


def test_a_worker_that_left_is_not_told_of(tmp_path: Path) -> None:
    """It takes its files with it, however often it says so."""
    with written(tmp_path) as file:
        file.remove()

        assert read_statuses(tmp_path) == []
        assert names_in(tmp_path) == []


@pytest.mark.parametrize("find", [read_statuses, Claim], ids=["a command", "a worker that starts"])
def test_the_files_of_a_killed_worker_are_removed(tmp_path: Path, find: type[Claim]) -> None:
    """By whoever comes next; those of one that lives are left."""
    with written(tmp_path):
        alive = names_in(tmp_path)
        pid = leave_behind(tmp_path)
        assert f"{pid}.json" in names_in(tmp_path)
        found = find(tmp_path)
        if isinstance(found, Claim):
            found.release()

        assert names_in(tmp_path) == alive
        assert len(read_statuses(tmp_path)) == 1


def test_a_process_that_has_a_dead_worker_s_number_is_not_taken_for_it(tmp_path: Path) -> None:
    """Numbers come again: this process lives, and was never that worker."""
    leave_behind(tmp_path, os.getpid())

    assert read_statuses(tmp_path) == []
    assert names_in(tmp_path) == []


def test_two_workers_of_one_number_have_a_file_each(tmp_path: Path) -> None:
    """In two containers, or on two hosts, that share the directory."""
    with written(tmp_path), written(tmp_path, msgspec.structs.replace(STATUS, in_hand=2)) as other:
        found = read_workers(tmp_path)
        assert sorted(one.status.in_hand for one in found) == [2, 7]
        assert len({one.socket for one in found}) == 2
        other.remove()
        assert [one.status.in_hand for one in read_workers(tmp_path)] == [7]


@pytest.mark.parametrize("text", ["", "{", '{"pid": "x"}'])
def test_a_file_that_cannot_be_read_is_left_out(tmp_path: Path, text: str) -> None:
    """Of another release, say."""
    claim = Claim(tmp_path)
    claim.files.status.write_text(text)

    assert read_statuses(tmp_path) == []
    claim.release()


def test_where_files_have_no_locks_nobody_is_taken_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be told there: what a worker wrote is shown and left, and no reader fails."""

    def no_locks(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    leave_behind(tmp_path)
    left = names_in(tmp_path)
    monkeypatch.setattr("worker.instance_files.fcntl.flock", no_locks)

    assert len(read_statuses(tmp_path)) == 1
    assert names_in(tmp_path) == left


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
        file.remove()

    assert [(line["event"], line["file"]) for line in lines] == [
        ("worker.status_failed", str(tmp_path / DIRECTORY))
    ]
    assert file.socket is None
