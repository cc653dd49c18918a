"""The heartbeat: a ping while all threads move, more time while a stop gets on, a status when it changed."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.service_manager import FakeServiceManager
from worker.heartbeat import Heartbeat
from worker.pulse import Pulse, Step
from worker.sd_notify import ServiceManager
from worker.watch import Watch

EXTENDED = "EXTEND_TIMEOUT_USEC=30000000"


class Process:
    """A process of one thread, which can be made to hang, and what the manager hears of it."""

    def __init__(self, directory: Path, watchdog: timedelta | None) -> None:
        self.manager = FakeServiceManager(directory / "notify")
        self.in_hand = 5
        self.text = "5 in hand"
        self._pulse = Pulse(lambda: 0.0)
        watch = Watch(lambda: [(threading.current_thread(), self._pulse)], lambda: 0.0)
        told = ServiceManager(self.manager.address, watchdog)
        self.heartbeat = Heartbeat(told, watch, lambda: self.text, lambda: self.in_hand)

    def hang(self) -> None:
        """Let the thread take longer than it may."""
        self._pulse.step = Step("runs a handler", -10.0, -10.0, 1.0)

    def told(self) -> list[str]:
        """What the next beat tells the manager."""
        self.manager.drain()
        with capture_logs():
            self.heartbeat.beat()
        return self.manager.drain()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path, timedelta(seconds=30))
    with process.manager:
        process.heartbeat.ready()
        yield process


def test_ready_brings_the_status(process: Process) -> None:
    """In one message."""
    assert process.manager.drain() == ["READY=1\nSTATUS=5 in hand"]


def test_a_beat_pings_and_tells_only_what_changed(process: Process) -> None:
    """The manager is not told the same thing again and again."""
    assert process.told() == ["WATCHDOG=1"]
    process.text = "4 in hand"
    assert process.told() == ["WATCHDOG=1", "STATUS=4 in hand"]
    assert process.told() == ["WATCHDOG=1"]


def test_a_thread_that_hangs_ends_the_ping_and_not_the_status(process: Process) -> None:
    """So an operator sees it before the manager acts."""
    process.hang()
    process.text = "hanging: work-1"
    assert process.told() == ["STATUS=hanging: work-1"]


def test_more_time_is_asked_for_only_after_a_stop(process: Process) -> None:
    """Before, there is no clock that runs."""
    assert EXTENDED not in process.told()
    process.heartbeat.stopping()
    assert process.manager.drain() == [f"STOPPING=1\n{EXTENDED}"]
    assert process.told() == ["WATCHDOG=1", EXTENDED]


def test_a_stop_with_a_hanging_thread_is_given_time_only_while_others_get_on(process: Process) -> None:
    """Whatever leaves is progress; when nothing does, the manager's patience ends."""
    process.heartbeat.stopping()
    process.hang()
    process.in_hand = 4
    assert process.told() == [EXTENDED]
    assert process.told() == []


@pytest.mark.parametrize(
    ("watchdog", "interval"), [(None, 5.0), (timedelta(seconds=60), 5.0), (timedelta(seconds=3), 1.0)]
)
def test_the_heart_beats_thrice_in_the_manager_s_time(
    tmp_path: Path, watchdog: timedelta | None, interval: float
) -> None:
    """Never slower than every five seconds: a hang and the status are told soon."""
    process = Process(tmp_path, watchdog)
    with process.manager:
        assert process.heartbeat.interval == timedelta(seconds=interval)
        assert ("WATCHDOG=1" in process.told()) == (watchdog is not None)
