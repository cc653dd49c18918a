"""What the worker tells the service manager, and that nothing there can hurt it."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.service_manager import FakeServiceManager
from worker.sd_notify import READY, ServiceManager, extension, reloading, status


@pytest.mark.parametrize("abstract", [False, True])
def test_what_is_told_arrives_as_one_message(tmp_path: Path, *, abstract: bool) -> None:
    """On a socket in the file system and on an abstract one."""
    with FakeServiceManager(tmp_path / "notify@1", abstract=abstract) as manager:
        ServiceManager(manager.address).tell(READY, status("3 in hand; höher"))

        assert manager.next() == "READY=1\nSTATUS=3 in hand; höher"


def test_the_variables_are_taken_and_not_left_for_children() -> None:
    """A handler's child that knew the socket could speak for the worker."""
    environment = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7", "A": "b"}

    taken = ServiceManager.taken_from(environment, 7)

    assert taken.watchdog == timedelta(seconds=3)
    assert environment == {"A": "b"}


@pytest.mark.parametrize(
    "variables",
    [
        {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {},
    ],
)
def test_a_watchdog_of_another_process_or_none_expects_no_ping(variables: dict[str, str]) -> None:
    """The variable that names the process is honoured; nonsense is none."""
    taken = ServiceManager.taken_from({"NOTIFY_SOCKET": "/run/notify", **variables}, 7)

    assert taken.watchdog is None


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative"])
def test_without_a_socket_that_it_knows_nothing_is_sent(address: str) -> None:
    """Outside of systemd, telling does nothing at all; a watchdog without a socket cannot be pinged."""
    taken = ServiceManager.taken_from({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000"}, os.getpid())
    taken.tell(READY)

    assert taken.watchdog is None


def test_a_manager_that_is_gone_hurts_nobody(tmp_path: Path) -> None:
    """The message is lost, nothing is raised."""
    ServiceManager(str(tmp_path / "nobody")).tell(READY)
    assert list(tmp_path.iterdir()) == []


def test_a_status_is_one_line() -> None:
    """A line break would begin another assignment."""
    assert status("away: a\nREADY=1  b") == "STATUS=away: a READY=1 b"


def test_times_are_told_in_microseconds() -> None:
    """As the protocol has them."""
    assert extension(timedelta(seconds=1.5)) == "EXTEND_TIMEOUT_USEC=1500000"
    assert reloading(12.000001) == "RELOADING=1\nMONOTONIC_USEC=12000001"
