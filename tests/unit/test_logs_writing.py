"""Writing the log: a handler's own lines, the form for people, and that no line ever fails its caller."""

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from config.settings import Logging
from tests.support.logging_state import lines, logging_restored
from worker.logs import configure_logging, handler_logger

ROOT = Path(__file__).parents[2]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        """A terminal, it says."""
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    with logging_restored():
        yield


@pytest.fixture
def stream() -> io.StringIO:
    target = io.StringIO()
    configure_logging(Logging(), target)
    return target


class TestHandlerLogger:
    def test_its_fields_stand_under_data(self, stream: io.StringIO) -> None:
        """A handler's field can be named like one of ours without taking its place."""
        handler_logger(job="j1", customer="c1").warning("Odd rows.", event="x", level=7, job="other")

        line = lines(stream)[0]
        assert line.pop("ts")
        assert line == {
            "level": "warning",
            "event": "handler.log",
            "job": "j1",
            "customer": "c1",
            "msg": "Odd rows.",
            "data": {"event": "x", "level": 7, "job": "other"},
        }

    def test_bound_fields_stand_on_each_line(self, stream: io.StringIO) -> None:
        """`bind` gives another logger and leaves the first as it was."""
        log = handler_logger(job="j1")
        log.bind(table="orders").error("Full.", rows=3)
        log.info("Done.")

        assert [line.get("data") for line in lines(stream)] == [{"table": "orders", "rows": 3}, None]

    def test_job_and_customer_stand_on_lines_of_other_threads(self, stream: io.StringIO) -> None:
        """A handler may work in threads of its own."""
        log = handler_logger(job="j1", customer="c1")
        thread = threading.Thread(target=log.info, args=("From afar.",))
        thread.start()
        thread.join()

        assert lines(stream)[0]["customer"] == "c1"

    def test_an_exception_is_written_flat(self, stream: io.StringIO) -> None:
        """`exc_info` works as in the standard library."""
        try:
            int("x")
        except ValueError:
            handler_logger(job="j1").error("No number.", exc_info=True)

        assert lines(stream)[0]["error_type"] == "ValueError"
        assert "data" not in lines(stream)[0]


class TestForPeople:
    def test_a_terminal_gets_the_form_for_people(self) -> None:
        """Clock time, level, event, then the fields; no JSON."""
        terminal = Terminal()
        configure_logging(Logging(), terminal)
        structlog.get_logger().info("job.done", job="j1")

        assert "job.done" in terminal.getvalue()
        assert not terminal.getvalue().startswith("{")

    def test_the_settings_win_over_the_terminal(self) -> None:
        """`json` on a terminal is JSON, `text` in a pipe is text."""
        terminal, pipe = Terminal(), io.StringIO()
        configure_logging(Logging(format="json"), terminal)
        structlog.get_logger().info("job.done", job="j1")
        configure_logging(Logging(format="text"), pipe)
        structlog.get_logger().info("job.done", job="j1")

        assert json.loads(terminal.getvalue())["job"] == "j1"
        assert pipe.getvalue().rstrip().endswith("job=j1")

    def test_a_value_cannot_steer_the_terminal(self) -> None:
        """Escape sequences and line breaks of a message are shown, not obeyed."""
        pipe = io.StringIO()
        configure_logging(Logging(format="text"), pipe)
        handler_logger(job="j1").info("\x1b[2Jgone\nfake line")

        assert "\x1b" not in pipe.getvalue()
        assert pipe.getvalue().count("\n") == 1


class Broken(io.StringIO):
    tries = 0

    def write(self, _text: str) -> int:
        """The disk is full."""
        self.tries += 1
        raise OSError(28, "No space left on device")


class TestNeverFails:
    def test_a_full_disk_is_no_error_of_the_caller(self) -> None:
        """The line is lost, the work goes on."""
        disk = Broken()
        configure_logging(Logging(), disk)
        structlog.get_logger().info("job.done")
        assert disk.tries

    def test_a_closed_stream_is_no_error_of_the_caller(self, stream: io.StringIO) -> None:
        """Nor is a line after the end."""
        stream.close()
        structlog.get_logger().info("job.done")
        assert stream.closed

    def test_a_field_that_cannot_be_written_leaves_a_line_that_says_so(self, stream: io.StringIO) -> None:
        """What went wrong is told in place of the line."""

        class Trap(dict[str, Any]):
            def items(self) -> Any:
                raise RuntimeError("hunter2")

        structlog.get_logger().info("job.done", data=Trap())
        (line,) = lines(stream)

        assert (line["event"], line["of"], line["error_type"]) == ("log.failed", "job.done", "RuntimeError")
        assert "hunter2" not in stream.getvalue()

    def test_a_reader_that_goes_away_does_not_change_the_exit_status(self) -> None:
        """`shardworker consume | head -1` ends as if nobody had read."""
        code = (
            "import sys, structlog\n"
            "from config.settings import Logging\n"
            "from worker.logs import configure_logging\n"
            "configure_logging(Logging(), sys.stdout)\n"
            "sys.stdin.readline()\n"
            "for _ in range(3): structlog.get_logger().info('job.done')\n"
            "sys.exit(7)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdout is not None
            process.stdout.close()
            process.stdout = None
            _, errors = process.communicate("go\n", timeout=60)

        assert (process.returncode, errors) == (7, "")
