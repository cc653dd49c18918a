"""`shardworker logs`: which lines are shown, and what stands at the end."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.support.sample_lines import AWAY, DONE, FAILED, LINES, write
from worker.cli import build_app
from worker.cli.logs_filters import Filters
from worker.cli.logs_lines import Painter
from worker.cli.logs_reader import LogReader
from worker.cli.logs_sources import LINE_BYTES_MAXIMUM, Splitter
from worker.cli.logs_summary import NAMES_MAXIMUM, Durations, Summary

ROOT = Path(__file__).parents[2]


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(build_app(), ["logs", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


class TestFilters:
    @pytest.mark.parametrize(
        ("options", "meant"),
        [
            ([], [DONE, FAILED, AWAY]),
            (["--job", "j-1"], [DONE, AWAY]),
            (["--job", "j-1", "--job", "j-2"], [DONE, FAILED, AWAY]),
            (["--customer", "c-7"], [AWAY]),
            (["--shard", "eu2"], [DONE, FAILED]),
            (["--shard", "eu1", "--shard", "eu3"], [DONE, AWAY]),
            (["--partner", "bolt"], [FAILED]),
            (["--type", "orders.insert"], [DONE]),
            (["--outcome", "failed"], [FAILED]),
            (["--event", "job.done"], [DONE, FAILED]),
            (["--event", "shard.*"], [AWAY]),
            (["--level", "info"], [DONE, FAILED, AWAY]),
            (["--level", "warning"], [AWAY]),
            (["--slow", "2s"], [FAILED]),
            (["--slow", "2500ms"], [FAILED]),
            (["--slow", "2501ms"], []),
            (["--since", "2026-11-21T11:00:00Z"], [FAILED, AWAY]),
            (["--until", "2026-11-21T12:00:00+01:00"], [DONE, FAILED]),
            (["--since", "2026-11-21T10:30:00", "--until", "2026-11-21T11:30:00"], [FAILED]),
            (["--job", "j-1", "--level", "warning"], [AWAY]),
        ],
    )
    def test_lines_have_to_fit_every_filter(
        self, tmp_path: Path, options: list[str], meant: list[dict[str, Any]]
    ) -> None:
        """Of several values of one filter any fits; `--json` passes lines on byte for byte."""
        path = write(tmp_path / "log", *LINES)

        assert run("--json", *options, path) == "".join(f"{json.dumps(line)}\n" for line in meant)

    def test_a_value_that_json_writes_otherwise_is_found_too(self, tmp_path: Path) -> None:
        """Another program may have written the line anew, with other escapes and spaces."""
        line = b'{"ts": "t", "level":"info","event":"job.done","partner":"a\\/b", "type" : "\\u00e9"}'
        path = write(tmp_path / "log", line)

        assert run("--json", "--partner", "a/b", "--type", "é", path) == line.decode() + "\n"

    def test_what_is_no_line_of_the_worker_s_is_left_out_of_json_and_by_filters(self, tmp_path: Path) -> None:
        """So that the next program reads nothing but JSON, and a search finds nothing else."""
        path = write(tmp_path / "log", b"Traceback", b'{"other": 1}', DONE)

        assert run("--json", path) == json.dumps(DONE) + "\n"
        assert "Traceback" not in run("--job", "j-1", path)


class TestSummary:
    def test_it_counts_endings_errors_and_shards(self, tmp_path: Path) -> None:
        """What an operator asks first of an hour's log."""
        output = run("--quiet", write(tmp_path / "log", *LINES, DONE, b"systemd says hello"))
        cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines()]

        assert "4 lines, 1 that are none of the worker's" in output
        assert "2026-11-21T10:00:00.123Z to 2026-11-21T12:00:00.000Z" in output
        assert ["job.done", "succeeded", "2"] in cells
        assert ["unique_violation", "1", "j-2"] in cells
        assert ["eu2", "3", "1", "18.37ms", "2.49s"] in cells
        assert ["total_ms", "3", "18.37ms", "2.49s", "2.49s", "2.50s"] in cells

    def test_it_can_be_left_out(self, tmp_path: Path) -> None:
        """For a terminal that shows the lines only."""
        assert "lines" not in run("--no-summary", write(tmp_path / "log", *LINES))

    @pytest.mark.parametrize("share", [0.5, 0.95, 0.99, 1.0])
    def test_percentiles_are_within_two_percent(self, share: float) -> None:
        """From tenths of a millisecond to days."""
        durations = Durations()
        for number in range(1, 10_001):
            durations.add(number * 0.1)

        assert durations.percentile(share) == pytest.approx(share * 1000, rel=0.02)

    def test_memory_is_bounded_whatever_the_lines_hold(self) -> None:
        """Names and durations that never end take no more room than the first thousand."""
        summary = Summary()
        for number in range(3 * NAMES_MAXIMUM):
            name = f"x{number}"
            summary.add(
                {
                    **FAILED,
                    "event": name,
                    "error_code": name,
                    "shards": [name],
                    "total_ms": float(number) ** 4,
                }
            )

        assert len(summary._endings) == len(summary._errors) == len(summary._shards) == NAMES_MAXIMUM + 1
        assert len(summary._durations["total_ms"]._steps) < 2000

    def test_a_line_of_wrong_types_is_counted_and_shown(self) -> None:
        """Another version's field, or another program's, stops nothing."""
        odd = {"event": "job.done", "outcome": [], "shards": 7, "total_ms": "x", "error_code": 5, "ts": None}
        reader = LogReader(
            Filters({}, slow=timedelta(0)), Painter(colours=False, full=True), as_json=False, is_quiet=False
        )
        shown = list(reader.shown(json.dumps({**odd, "total_ms": 1, "stack": 3, "data": 4}).encode()))
        reader.summary.add(odd)

        assert shown
        assert reader.summary.count == 2


class TestSources:
    def test_lines_are_put_together_from_chunks(self) -> None:
        """However they come."""
        splitter = Splitter()
        chunks = [b"a", b"b\nc", b"\n\n", b"d"]

        assert [splitter.lines(chunk) for chunk in chunks] == [[], [b"ab"], [b"c", b""], []]
        assert (splitter.end(), splitter.end()) == ([b"d"], [])

    def test_an_endless_line_comes_in_pieces(self) -> None:
        """It is no line of the worker's, and takes no more than 1 MiB."""
        splitter = Splitter()
        pieces = [piece for _ in range(20) for piece in splitter.lines(b"x" * (LINE_BYTES_MAXIMUM // 4))]

        assert pieces
        assert max(map(len, pieces)) <= 2 * LINE_BYTES_MAXIMUM

    def test_bad_bytes_and_half_lines_are_shown_as_they_are(self, tmp_path: Path) -> None:
        """What a killed process or another program left."""
        path = write(
            tmp_path / "log", b'{"event":"\xff\xfe"}', b'{"event":"job.do', b"[1]", b"{" * 5000, b"", DONE
        )
        output = run(path)

        assert "1 lines, 4 that are none of the worker's" in output
        assert '{"event":"job.do\n' in output

    def test_a_missing_file_is_told_in_a_line(self, tmp_path: Path) -> None:
        """Not with a traceback."""
        result = CliRunner().invoke(build_app(), ["logs", str(tmp_path / "none")])

        assert result.exit_code == 1
        assert "none cannot be read: No such file or directory." in result.output

    def test_standard_input_is_shown_as_it_comes_and_a_closed_pipe_is_no_error(self) -> None:
        """`journalctl -f … | shardworker logs | head -3`: nothing on stderr."""
        process = subprocess.Popen(
            [sys.executable, "-m", "worker", "logs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(json.dumps(DONE).encode() + b"\n")
        process.stdin.flush()
        seen = [process.stdout.readline(), process.stdout.readline()]
        process.stdout.close()
        process.stdin.write(json.dumps(FAILED).encode() + b"\n")
        process.stdin.close()

        assert (process.wait(60), process.stderr.read()) == (0, b"")
        assert b"j-1" in seen[1]
        process.stderr.close()
