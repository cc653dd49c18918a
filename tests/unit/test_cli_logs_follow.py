"""`shardworker logs --follow`: files that grow, are rotated or cut; and Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from worker.cli.logs_sources import TAIL_LINES, FollowedFile, followed_files

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "worker.log"
    path.write_bytes(b"".join(b"old %d\n" % number for number in range(30)))
    return path


@pytest.fixture
def file(path: Path) -> Iterator[FollowedFile]:
    followed = FollowedFile(path, from_start=False)
    followed.new_lines()
    yield followed
    followed.close()


def append(path: Path, text: bytes) -> None:
    with path.open("ab") as file:
        file.write(text)


def test_it_begins_with_the_last_lines_or_at_the_start(path: Path) -> None:
    """As `tail -f` does; with `--since` the whole file is gone through."""
    last, whole = FollowedFile(path, from_start=False), FollowedFile(path, from_start=True)

    assert last.new_lines() == [b"old %d" % number for number in range(30 - TAIL_LINES, 30)]
    assert len(whole.new_lines()) == 30
    last.close()
    whole.close()


def test_of_a_large_file_only_the_end_is_read(path: Path) -> None:
    """A line that begins before the end that is read is no line."""
    append(path, b"x" * 10**6 + b"\nlast\n")
    file = FollowedFile(path, from_start=False)

    assert file.new_lines() == [b"last"]
    file.close()


def test_what_is_appended_comes_line_by_line(path: Path, file: FollowedFile) -> None:
    """A line that is not whole yet is waited for."""
    append(path, b"one\ntw")
    assert file.new_lines() == [b"one"]
    append(path, b"o\n")
    assert file.new_lines() == [b"two"]
    assert file.new_lines() == []


def test_a_rotated_file_is_read_to_its_end_and_then_the_new_one(path: Path, file: FollowedFile) -> None:
    """Also what the writer still puts into the old one, and while there is no new one yet."""
    path.rename(path.with_suffix(".1"))
    append(path.with_suffix(".1"), b"late\nhalf")
    assert file.new_lines() == [b"late"]
    assert file.new_lines() == []
    path.write_bytes(b"new\n")
    assert file.new_lines() == [b"half"]
    assert file.new_lines() == [b"new"]


def test_a_cut_file_is_read_from_its_start(path: Path, file: FollowedFile) -> None:
    """As the copytruncate of logrotate does it."""
    path.write_bytes(b"")
    assert file.new_lines() == []
    append(path, b"new\n")
    assert file.new_lines() == [b"new"]


def test_several_files_are_followed_at_once(tmp_path: Path) -> None:
    """Each instance may have its own; between two looks nothing is done."""
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_bytes(b"")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        append(paths[len(pauses) % 2], b"line %d\n" % len(pauses))

    batches = followed_files(paths, pause, from_start=True)
    with closing(batches):
        seen = [line for _ in range(6) for line in next(batches)]
    assert seen == [b"line 1", b"line 2", b"line 3"]


def test_ctrl_c_ends_with_the_summary(path: Path) -> None:
    """What was seen until then is summed up, and the exit status is 0."""
    line = {"ts": "2026-11-21T10:00:00.123Z", "level": "info", "event": "job.done", "outcome": "succeeded"}
    path.write_text(json.dumps(line) + "\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "logs", "--follow", str(path)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 0
    assert b"1 lines, 2026-11-21T10:00:00.123Z" in output
