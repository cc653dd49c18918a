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


def test_symfony_s_own_command_line_means_the_same(tmp_path: Path, started: Started) -> None:
    """Its short options and its forms of values: seconds, PHP's sizes."""
    arguments = [
        *("requests", "-l", "10", "-f", "2", "-m", "128M", "-t", "3600", "--sleep", "0.5"),
        *("--keepalive=20", "--fetch-size", "5"),
    ]
    site = Site(tmp_path)

    assert site.run("consume", *arguments).exit_code == 0
    assert started[0][1] == ConsumeOptions(
        limit=10,
        failure_limit=2,
        memory_limit=128 * 2**20,
        time_limit=timedelta(hours=1),
        queues=(site.settings.queues.request[0],),
        sleep=timedelta(milliseconds=500),
        keepalive=timedelta(seconds=20),
        fetch_size=5,
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [("134217728", 2**27), ("131072k", 2**27), ("128m", 2**27), ("1G", 2**30), ("64MB", 64 * 10**6)],
)
def test_sizes_are_php_s_or_ours(tmp_path: Path, text: str, size: int, started: Started) -> None:
    """A letter alone counts in powers of two, as PHP has it."""
    assert Site(tmp_path).run("consume", "--memory-limit", text).exit_code == 0
    assert started[0][1].memory_limit == size


@pytest.mark.parametrize("arguments", [["--keepalive"], ["--keepalive", "--all"], ["--keepalive", "-l1"]])
def test_keepalive_alone_changes_nothing(tmp_path: Path, arguments: list[str], started: Started) -> None:
    """Leases are always renewed."""
    assert Site(tmp_path).run("consume", *arguments).exit_code == 0
    assert started[0][1].keepalive is None


def test_a_lease_cannot_be_renewed_later_than_its_half(tmp_path: Path, started: Started) -> None:
    """Then one failed renewal would lose it."""
    site = Site(tmp_path)

    assert site.run("consume", "--keepalive", "60").exit_code == 0
    late = site.run("consume", "--keepalive", "61")
    assert late.exit_code == 2
    assert "1m at most" in " ".join(late.stderr.split())
    assert len(started) == 1


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["slow", "requests"], ["slow", "requests"]),
        (["req.*"], ["requests"]),
        ([".*"], ["requests", "slow"]),
        (["requests", "--queues", "requests", "--queue", "slow"], ["requests", "slow"]),
        (["--all"], []),
        (["--all", "--exclude-receivers", "slow"], ["requests"]),
        (["--all", "--exclude-receivers", "req.*"], ["slow"]),
    ],
)
def test_queues_are_chosen_as_symfony_s_receivers(
    tmp_path: Path, arguments: list[str], names: list[str], started: Started
) -> None:
    """By name, by a pattern for a whole name, or all but some; nothing chosen is what is configured."""
    assert Site(tmp_path).run("consume", *arguments).exit_code == 0
    assert [url.rpartition("=")[2] for url in started[0][1].queues] == names


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["requests", "--exclude-receivers", "slow"], 2, "--exclude-receivers belongs to --all"),
        (["requests", "--all"], 2, "Give the names of queues, or --all"),
        (["--all", "--exclude-receivers", ".*"], 1, "leaves no request queue"),
        (["--all", "--exclude-receivers", "slwo"], 1, "the file has: requests, slow."),
        (["req"], 1, "the file has: requests, slow."),
        (["(requests"], 1, "the file has: requests, slow."),
    ],
)
def test_a_choice_that_means_nothing_is_an_error(
    tmp_path: Path, arguments: list[str], status: int, said: str, started: Started
) -> None:
    """It is told in a line; the daemon is not started."""
    result = Site(tmp_path).run("consume", *arguments)

    assert (result.exit_code, started) == (status, [])
    assert said in " ".join(result.stderr.split())


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
    assert "the file has: requests, slow." in result.stderr
    assert started == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--concurrency", "0"],
        ["--limit", "-1"],
        ["--time-limit", "0"],
        ["--time-limit", "-5"],
        ["--time-limit", "soon"],
        ["--memory-limit", "512"],
        ["--memory-limit", "128X"],
        ["--failure-limit", "0"],
        ["--time-limit", "9" * 20],
        ["--time-limit", "9" * 20 + "d"],
        ["--sleep", "-1"],
        ["--sleep", "3601"],
        ["--keepalive", "0"],
        ["--keepalive", "requests"],
        ["--fetch-size", "11"],
        ["--fetch-size", "0"],
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
