"""`shardworker consume`: its options reach the daemon, its log goes to standard output."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from tests.support.site import Site
from worker import daemon
from worker.options import ConsumeOptions

Started = list[tuple[Settings, ConsumeOptions]]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    calls: Started = []

    def run_daemon(settings: Settings, options: ConsumeOptions, *_: Any) -> int:
        calls.append((settings, options))
        return 0

    monkeypatch.setattr(daemon, "run_daemon", run_daemon)
    return calls


def test_without_options_the_configuration_holds(tmp_path: Path, started: Started) -> None:
    """Nothing is changed that was not asked for."""
    site = Site(tmp_path)

    assert site.run("consume").exit_code == 0
    assert started == [(site.settings, ConsumeOptions())]


def test_the_options_reach_the_daemon(tmp_path: Path, started: Started) -> None:
    """Durations as in the file; queues by name or by URL, as the configured URL."""
    site = Site(tmp_path)
    slow = site.settings.queues.request[1]
    arguments = [
        "--concurrency",
        "2",
        "--limit",
        "5",
        "--time-limit",
        "90s",
        "--memory-limit",
        "512MiB",
        "--failure-limit",
        "3",
        "--queue",
        "requests",
        "--queue",
        slow,
    ]

    assert site.run("consume", *arguments).exit_code == 0
    assert started[0][1] == ConsumeOptions(
        concurrency=2,
        limit=5,
        time_limit=timedelta(seconds=90),
        memory_limit=512 * 2**20,
        failure_limit=3,
        queues=tuple(site.settings.queues.request),
    )


def test_the_configuration_and_its_warnings_are_logged_at_start(tmp_path: Path, started: Started) -> None:
    """On standard output, before the daemon starts: what holds, what overrides the file, what is odd."""
    site = Site(tmp_path)
    result = site.run("consume", environment={"SHARDWORKER__PARTNERS__ACME__CUSTOMERS": '["c-9"]'})
    loaded, warning = [json.loads(text) for text in result.stdout.splitlines()]

    assert (loaded["event"], loaded["file"]) == ("config.loaded", str(site.path))
    assert loaded["overrides"] == ["SHARDWORKER__PARTNERS__ACME__CUSTOMERS"]
    assert loaded["configuration"]["worker"]["lease"] == "2m"
    assert warning["event"] == "config.warning"
    assert warning["msg"].startswith("partners.acme.customers: ")
    assert len(started) == 1


def test_a_queue_that_is_not_configured_is_an_error(tmp_path: Path, started: Started) -> None:
    """The known names are listed; the daemon is not started."""
    result = Site(tmp_path).run("consume", "--queue", "other")

    assert result.exit_code == 1
    assert "[queues] request has: requests, slow." in result.stderr
    assert started == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--concurrency", "0"],
        ["--limit", "-1"],
        ["--time-limit", "5"],
        ["--memory-limit", "512"],
        ["--failure-limit", "0"],
    ],
)
def test_impossible_options_are_wrong_usage(tmp_path: Path, arguments: list[str], started: Started) -> None:
    """Status 2 before anything is read or started."""
    assert Site(tmp_path).run("consume", *arguments).exit_code == 2
    assert started == []


def test_the_daemon_s_status_is_the_command_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service manager decides by it."""
    monkeypatch.setattr(daemon, "run_daemon", lambda *_: 79)

    assert Site(tmp_path).run("consume").exit_code == 79


def test_a_directory_that_cannot_be_used_for_attachments_is_told_in_a_line(tmp_path: Path) -> None:
    """Before anything is received; status 1, and no traceback."""
    site = Site(tmp_path)
    (tmp_path / "taken").write_text("a file")
    variables = {
        "SHARDWORKER_CONFIG": str(site.path),
        "SHARDWORKER__ATTACHMENTS__DIRECTORY": str(tmp_path / "taken" / "below"),
    }

    ended = subprocess.run(
        [sys.executable, "-m", "worker", "consume"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("shardworker: The disk for attachments cannot be used")
