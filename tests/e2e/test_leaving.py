"""A worker that leaves: what it tells of itself meanwhile, and that it hears each request to stop."""

import signal
from datetime import timedelta

import pytest

from tests.support import brisk
from tests.support.world import World, job, wait_until
from worker.status_file import WorkerStatus, read_statuses


@pytest.fixture
def world(embedded_world: World) -> World:
    return embedded_world


def send_slow_job(world: World) -> None:
    """A job whose handler runs until the file `go_on` is there; it runs now."""
    files = {"started": str(world.directory / "started"), "go_on": str(world.directory / "go_on")}
    world.send(job("slow", type="orders.slow", payload=files))
    wait_until(lambda: bool(list(world.directory.glob("started.*"))), "the handler")


def leaving(world: World) -> list[WorkerStatus]:
    """What the workers that leave wrote of themselves last."""
    return [one for one in read_statuses(world.settings.worker.state_directory) if one.leaving]


def test_a_drain_tells_on_how_long_its_longest_call_runs(world: World) -> None:
    """The file is written again and again: who protects the machine for a long call goes by it."""
    worker = world.start_worker(**brisk.VARIABLES)
    send_slow_job(world)
    worker.signal(signal.SIGTERM)
    wait_until(lambda: bool(leaving(world)), "a file that says that it leaves")
    (first,) = leaving(world)
    wait_until(lambda: leaving(world)[0].at > first.at, "a later one")
    (later,) = leaving(world)
    (world.directory / "go_on").touch()

    assert worker.wait() == 0
    assert first.in_hand == later.in_hand == 1
    assert first.running_since is not None
    assert later.running_since is not None
    assert abs(later.running_since - first.running_since) < timedelta(seconds=5)
    assert read_statuses(world.settings.worker.state_directory) == []


def test_two_requests_to_stop_at_the_same_moment_are_two(world: World) -> None:
    """Both signals come while the process stands still: the second gives back at once what runs."""
    worker = world.start_worker()
    send_slow_job(world)
    worker.signal(signal.SIGSTOP)
    worker.signal(signal.SIGTERM)
    worker.signal(signal.SIGINT)
    worker.signal(signal.SIGCONT)

    assert worker.wait() == 0
    assert worker.events("worker.stopped")[0]["abandoned"] == 1
    assert world.request.depth().waiting == 1
