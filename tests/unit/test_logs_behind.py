"""The log written by a thread of its own: nobody waits for standard output, and little is lost."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest
import structlog

from config.settings import Logging
from worker.log_writer import BYTES_WAITING_MAXIMUM, LinesBehind, written_behind
from worker.logs import logging_behind

ROOT = Path(__file__).parents[2]
LINE = "x" * 9_999
FEW_SECONDS = 30


class Pipe:
    """A pipe whose reader reads when the test says so."""

    def __init__(self) -> None:
        reading, self.descriptor = os.pipe()
        self.reader = os.fdopen(reading, encoding="utf-8")
        self.writer: TextIO = os.fdopen(self.descriptor, "w", encoding="utf-8")

    def rest(self) -> list[str]:
        """What comes until the writing end is closed."""
        return self.reader.read().splitlines()

    def close(self) -> None:
        """Close both ends."""
        self.reader.close()
        self.writer.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def dropped(lines: int) -> str:
    return f"dropped {lines}"


def test_lines_come_whole_and_in_each_thread_s_order(pipe: Pipe) -> None:
    """As many threads as like write at once; all is written when the block is left."""
    with written_behind(pipe.writer, dropped) as lines:

        def put_many(name: int) -> None:
            for number in range(500):
                lines.put(f"{name} {number}")

        threads = [threading.Thread(target=put_many, args=(name,)) for name in range(4)]
        reader = threading.Thread(target=lambda: came.extend(pipe.rest()))
        came: list[str] = []
        for thread in (*threads, reader):
            thread.start()
        for thread in threads:
            thread.join()
    pipe.writer.close()
    reader.join()

    for name in range(4):
        assert [line for line in came if line.startswith(f"{name} ")] == [f"{name} {n}" for n in range(500)]
    assert len(came) == 2000


def test_nobody_waits_for_a_reader_that_stands_still_and_what_is_dropped_is_told(pipe: Pipe) -> None:
    """Beyond 8 MiB that wait lines are dropped; when the reader goes on, a line says how many were."""
    lines = LinesBehind(pipe.descriptor, dropped)
    thread = threading.Thread(target=lines.run)
    thread.start()
    count = 2 * BYTES_WAITING_MAXIMUM // len(LINE)
    for _ in range(count):
        lines.put(LINE)
    lines.close()
    reader = threading.Thread(target=lambda: came.extend(pipe.rest()))
    came: list[str] = []
    reader.start()
    thread.join(FEW_SECONDS)
    pipe.writer.close()
    reader.join(FEW_SECONDS)

    told = [line for line in came if line.startswith("dropped")]
    kept = came.count(LINE)
    assert sum(int(line.split()[1]) for line in told) == count - kept > 0
    assert BYTES_WAITING_MAXIMUM <= (kept + 8) * len(LINE) <= BYTES_WAITING_MAXIMUM * 1.1


def test_a_line_is_written_before_the_next_comes(pipe: Pipe) -> None:
    """Nothing waits for a batch to fill: who follows the log sees each line at once."""
    with written_behind(pipe.writer, dropped) as lines:
        for number in range(3):
            lines.put(f"line {number}")
            assert pipe.reader.readline() == f"line {number}\n"


def test_a_file_set_to_not_wait_gets_whole_lines(pipe: Pipe) -> None:
    """Who shares standard output with us may have set it so; lines are not cut in the middle."""
    os.set_blocking(pipe.descriptor, False)
    with written_behind(pipe.writer, dropped) as lines:
        for _ in range(30):
            lines.put(LINE)
        came = [pipe.reader.readline().rstrip() for _ in range(30)]

    assert came == [LINE] * 30


def test_what_is_dropped_is_an_event_of_the_list(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator can alarm on it."""
    monkeypatch.setattr("worker.log_writer.BYTES_WAITING_MAXIMUM", 10)
    with logging_behind(Logging(format="json"), pipe.writer):
        structlog.get_logger().info("job.done")
        structlog.get_logger().info("job.done")
        monkeypatch.undo()
        structlog.get_logger().info("job.done")
    pipe.writer.close()
    came: list[dict[str, Any]] = [json.loads(line) for line in pipe.rest()]

    assert [(line["event"], line.get("lines")) for line in came] == [("job.done", None), ("log.dropped", 2)]


LEAVES = """
import sys, structlog
from config.settings import Logging
from worker.logs import logging_behind
sys.stdin.readline()
with logging_behind(Logging(), sys.stdout):
    for _ in range(20): structlog.get_logger().info("handler.log", data={"text": "x" * 10_000})
sys.exit(7)
"""


@pytest.mark.parametrize("is_closed", [True, False], ids=["gone", "stuck"])
def test_a_process_leaves_with_its_own_status_whatever_reads_its_log(*, is_closed: bool) -> None:
    """A reader that went away or stands still neither keeps the process nor changes its exit status."""
    process = subprocess.Popen(
        [sys.executable, "-c", LEAVES],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    if is_closed:
        process.stdout.close()
    process.stdin.write(b"go\n")
    process.stdin.close()
    status = process.wait(FEW_SECONDS)
    process.stdout.close()

    assert (status, process.stderr.read()) == (7, b"")
    process.stderr.close()
