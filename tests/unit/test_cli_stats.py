"""`shardworker stats`: what it shows of queues, and of workers that do not answer at their sockets."""

import os
import pty
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.site import Site
from worker.cli.stats_workers import Seen, ask, breaker_text, complaints, lanes_together
from worker.status_file import LaneStatus, StatusFile, WorkerStatus
from worker.transports.base import Message

ROOT = Path(__file__).parents[2]
LOOKS = 3
PATIENCE_SECONDS = 60
NOW = datetime.now(UTC)
WELL, AWAY = LaneStatus(2, 1, away=False), LaneStatus(3, 0, away=True, openings=2)


def status(**fields: Any) -> WorkerStatus:
    """How this process would stand as a worker."""
    lanes = {"eu1": AWAY, "eu2": LaneStatus(0, 0, away=False)}
    standing = {"pid": os.getpid(), "instance": "host:1", "at": NOW, "in_hand": 5, "lanes": lanes}
    return WorkerStatus(**{**standing, **fields})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path).set_up()
    queue = site.queue("failures")
    queue.send([Message("{}"), Message("{}")])
    queue.close()
    return site


def test_each_queue_is_a_row(site: Site) -> None:
    """With what it is for."""
    rows = site.run_json("stats")["queues"]

    assert [(row["queue"], row["for"], row["waiting"]) for row in rows] == [
        ("requests", "request", 0),
        ("slow", "request", 0),
        ("results", "response", 0),
        ("failures", "failure", 2),
    ]


def test_a_queue_that_cannot_be_asked_is_a_row_like_the_others(site: Site) -> None:
    """It says why."""
    (site.directory / "queues.db").unlink()
    rows = site.run_json("stats")["queues"]

    assert [row["waiting"] for row in rows] == [None] * 4
    assert all("shardworker setup" in row["error"] for row in rows)


def test_a_worker_that_does_not_answer_is_shown_as_it_wrote_of_itself(site: Site) -> None:
    """No matter why there is nobody at its socket."""
    StatusFile(site.directory).write(status(in_hand_max=100, at=NOW - timedelta(minutes=1)))
    (worker,) = site.run_json("stats")["workers"]
    told = site.run("stats").stdout

    assert (worker["answers"], worker["in_hand"], worker["pid"]) == (False, 5, os.getpid())
    for text in ("host:1", "5 of 100", "does not answer", "shards away: eu1", "1 workers on this machine"):
        assert text in told
    assert "eu2" not in told


def test_no_worker_is_no_error(site: Site) -> None:
    """The queues are told all the same."""
    assert site.run_json("stats")["workers"] == []
    assert "0 workers" in site.run("stats").stdout


def test_a_live_table_needs_a_terminal(site: Site) -> None:
    """In a pipe it would be control characters; JSON lines are for that."""
    result = site.run("stats", "--watch")

    assert result.exit_code == 1
    assert "--json" in result.stderr


def test_the_live_table_goes_on_until_ctrl_c(site: Site) -> None:
    """It draws what a single look shows, again and again, and ends as if nothing had happened."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "worker", "stats", "--watch", "--interval", "50ms"]
    process = subprocess.Popen(
        [*command, "--config", str(site.path)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "150", "LINES": "40"},
    )
    os.close(theirs)
    shown = b""
    while shown.count(b"failures") < LOOKS:
        shown += os.read(ours, 65_536)
    process.send_signal(signal.SIGINT)
    while left(ours):
        continue
    os.close(ours)

    assert process.wait(PATIENCE_SECONDS) == 0
    assert b"0 workers on this machine" in shown


def left(terminal: int) -> bytes:
    """What else is written; nothing when the process has left its terminal."""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""


def test_nobody_at_the_socket_is_no_answer(tmp_path: Path) -> None:
    """Neither where there is none, nor where it is no socket."""
    path = tmp_path / "1.sock"
    assert ask(path) is None
    path.write_text("")
    assert ask(path) is None


def test_lanes_of_several_workers_stand_together() -> None:
    """By shard, summed up."""
    one, other = (Seen(status(lanes={"eu1": lane}), answers=True) for lane in (WELL, AWAY))

    assert lanes_together([one, other]) == {
        "eu1": {"waiting": 5, "running": 1, "breaker": "open in 1 of 2 workers", "openings": 2}
    }
    assert [breaker_text(lanes) for lanes in ([WELL], [AWAY, AWAY])] == ["closed", "open"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"lanes": {}}, ""),
        ({}, "shards away: eu1"),
        ({"lanes": {}, "hanging": ["work-1"], "leaving": True}, "leaves; hangs: work-1"),
        (
            {"lanes": {}, "not_accepted": ["results"], "given_up": 2},
            "not accepted: results; threads given up: 2",
        ),
        ({"lanes": {}, "queues_away": ["q"], "servers_away": ["db:1"]}, "queues away: q; servers away: db:1"),
    ],
)
def test_what_is_wrong_is_said_in_a_few_words(fields: dict[str, Any], said: str) -> None:
    """And nothing where all is well."""
    assert complaints(Seen(status(**fields), answers=True), NOW) == said
