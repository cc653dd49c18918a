"""The process and its service manager: ready, alive, hanging, leaving; with real worker processes."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.hanging import VARIABLES
from tests.support.service_manager import FakeServiceManager
from tests.support.world import WorkerProcess, World, job, wait_until

WATCHDOG_SECONDS = 1.5


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[FakeServiceManager]:
    with FakeServiceManager(tmp_path / "notify") as manager:
        yield manager


@pytest.fixture
def world(embedded_world: World) -> World:
    return embedded_world


def slow_job(directory: Path, name: str, **fields: Any) -> dict[str, Any]:
    """A job whose handler runs until the file `go_on` is there."""
    files = {"started": str(directory / f"started-{name}"), "go_on": str(directory / "go_on")}
    return job(name, type="orders.slow", payload=files, **fields)


def wait_until_started(directory: Path, name: str) -> None:
    """Wait until the job's handler runs."""
    wait_until(lambda: bool(list(directory.glob(f"started-{name}.*"))), f"the start of {name}")


def send_slow_job(world: World, name: str = "slow") -> None:
    """Put it on the queue and wait until its handler runs; a worker must be there."""
    world.send(slow_job(world.directory, name))
    wait_until_started(world.directory, name)


class TestStart:
    def test_it_is_ready_when_it_receives(self, world: World, manager: FakeServiceManager) -> None:
        """Not before the configuration was checked; with a line for `systemctl status`."""
        worker = world.start_worker(**manager.environment())

        assert manager.next() == "READY=1\nSTATUS=0 in hand, 0 done"
        assert worker.stop() == 0
        assert worker.events("worker.started")

    def test_a_queue_that_is_silent_and_a_shard_that_is_away_delay_nothing(
        self, world: World, manager: FakeServiceManager
    ) -> None:
        """It is ready all the same; the shard is named in the status. A poll without an answer is no hang."""
        (world.directory / "s1.db").unlink()
        (world.directory / "s1.db").mkdir()
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            port = silent.getsockname()[1]
            requests = f'["{world.request_url}", "sqs+http://127.0.0.1:{port}/000000000000/silent"]'
            worker = world.start_worker(
                SHARDWORKER__QUEUES__REQUEST=requests,
                AWS_ACCESS_KEY_ID="test",
                AWS_SECRET_ACCESS_KEY="test",
                AWS_DEFAULT_REGION="eu-west-1",
                **manager.environment(WATCHDOG_SECONDS),
            )
            manager.wait_for("READY=1")
            world.send(job("away", ["c-1"]))
            manager.wait_for("shards away: s1")
            manager.wait_for("WATCHDOG=1")
            worker.process.kill()

        assert worker.events("worker.thread_hangs") == []

    def test_a_wrong_configuration_is_never_ready(self, world: World, manager: FakeServiceManager) -> None:
        """Status 78, after which nobody starts it again."""
        worker = world.start_worker(SHARDWORKER__WORKER__LEASE="soon", **manager.environment())

        assert worker.wait() == 78
        assert manager.drain() == []


class TestWatchdog:
    def test_the_ping_comes_while_handlers_work(self, world: World, manager: FakeServiceManager) -> None:
        """Idle, and with a handler within its time; in the drain as well, for which it asks for time."""
        worker = world.start_worker(**manager.environment(WATCHDOG_SECONDS))
        manager.wait_for("WATCHDOG=1")
        send_slow_job(world)
        manager.drain()
        manager.wait_for("WATCHDOG=1")
        worker.signal(signal.SIGTERM)
        assert "EXTEND_TIMEOUT_USEC=30000000" in manager.wait_for("STOPPING=1")
        manager.wait_for("WATCHDOG=1")
        manager.wait_for("EXTEND_TIMEOUT_USEC=30000000")
        (world.directory / "go_on").touch()

        assert worker.wait() == 0
        assert [result["job_id"] for result in world.results()] == ["slow"]

    def test_a_process_that_is_stuck_is_silent_and_its_end_leaves_all_stacks_behind(
        self, world: World, manager: FakeServiceManager
    ) -> None:
        """No thread runs any more, so no ping; at SIGABRT, as the watchdog sends it, standard error tells."""
        worker = world.start_worker(**manager.environment(WATCHDOG_SECONDS))
        manager.wait_for("WATCHDOG=1")
        started = world.directory / "started"
        world.send(job("stuck", type="orders.stuck", payload={"started": str(started)}))
        wait_until(started.exists, "the handler")
        manager.drain()

        assert manager.next(WATCHDOG_SECONDS) is None
        worker.signal(signal.SIGABRT)
        assert worker.wait() == -signal.SIGABRT
        text = worker.log_path.read_text()
        assert "Fatal Python error: Aborted" in text
        assert "in hold_the_interpreter" in text

    def test_a_thread_that_hangs_is_reported_and_ends_the_ping(
        self, world: World, manager: FakeServiceManager
    ) -> None:
        """Once, with job, customer and the stack of its thread; the ping comes again when it moves again."""
        worker = self._start_hanging(world, manager)
        manager.wait_for("hanging: work-")
        line = worker.wait_for_event("worker.thread_hangs")
        assert (line["doing"], line["job"], line["customer"]) == ("runs a part", "hangs", "c-0")
        assert line["stack"].endswith("__call__")
        assert line["lasting_ms"] >= line["limit_ms"] == 2000
        manager.drain()
        assert manager.next(WATCHDOG_SECONDS) is None

        (world.directory / "go_on").touch()
        manager.wait_for("WATCHDOG=1")
        assert worker.stop() == 0
        assert len(worker.events("worker.thread_hangs")) == len(worker.events("worker.thread_moves")) == 1
        assert len(world.rows()) == 1

    def test_a_hang_in_the_drain_ends_the_ping_too(self, world: World, manager: FakeServiceManager) -> None:
        """And nobody is asked for more time, until the drain gives up by itself."""
        worker = self._start_hanging(world, manager)
        worker.signal(signal.SIGTERM)
        manager.wait_for("STOPPING=1")
        manager.wait_for("hanging: work-")
        manager.drain()

        assert manager.next(WATCHDOG_SECONDS) is None
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0

    def _start_hanging(self, world: World, manager: FakeServiceManager) -> WorkerProcess:
        environment = {**VARIABLES, "HANG_DIRECTORY": str(world.directory)}
        worker = world.start_worker(**environment, **manager.environment(WATCHDOG_SECONDS))
        world.send(job("hangs"))
        wait_until((world.directory / "hangs").exists, "the hang")
        return worker


class TestThreads:
    def test_sigusr1_tells_what_each_thread_is_doing(self, world: World) -> None:
        """A line for each: who waits, who is busy and with which job; no payload."""
        worker = world.start_worker()
        worker.wait_for_event("worker.started")
        send_slow_job(world)
        worker.signal(signal.SIGUSR1)
        wait_until(lambda: "receive-requests" in _threads(worker), "a line for each thread")
        lines = {line["thread"]: line for line in worker.events("worker.thread")}
        (world.directory / "go_on").touch()

        busy = [line for line in lines.values() if line.get("job") == "slow"]
        assert [(line["doing"], line["customer"], line["shard"]) for line in busy] == [
            ("runs a handler", "c-0", "s0")
        ]
        assert "insert_slowly" in busy[0]["stack"]
        assert {"MainThread", "leases", "keep-lanes", "settle-results", "prepare-0"} <= lines.keys()
        assert worker.stop() == 0


class TestLeaving:
    @pytest.mark.parametrize("option", ["--failure-limit=1", "--memory-limit=1MiB"])
    def test_a_limit_leaves_with_0_and_does_not_say_that_it_stops(
        self, world: World, manager: FakeServiceManager, option: str
    ) -> None:
        """The manager would begin to count the time for a stop; it starts the worker again."""
        refused = {"type": "orders.insert", "expires_at": "2001-01-01T00:00:00Z"}
        world.send(job("refused", **refused))
        worker = world.start_worker(option, **manager.environment(WATCHDOG_SECONDS))

        assert worker.wait() == 0
        assert "STOPPING" not in "\n".join(manager.drain())
        reason = worker.events("worker.stopped")[0]["reason"]
        assert reason == option.strip("-").partition("=")[0].replace("-", " ")

    def test_sigusr2_leaves_for_good(self, world: World, manager: FakeServiceManager) -> None:
        """It drains, says nothing of a stop, and its status keeps the manager from starting it again."""
        worker = world.start_worker(**manager.environment(WATCHDOG_SECONDS))
        send_slow_job(world)
        worker.signal(signal.SIGUSR2)
        worker.wait_for_event("worker.stopping")
        (world.directory / "go_on").touch()

        assert worker.wait() == 79
        assert "STOPPING" not in "\n".join(manager.drain())
        assert [result["job_id"] for result in world.results()] == ["slow"]

    def test_a_stop_while_it_leaves_by_itself_lets_the_drain_go_on(
        self, world: World, manager: FakeServiceManager
    ) -> None:
        """The first SIGTERM is no second one: what runs is finished, and the manager knows of the stop."""
        worker = world.start_worker("--time-limit=3s", **manager.environment(WATCHDOG_SECONDS))
        send_slow_job(world)
        worker.wait_for_event("worker.stopping")
        assert "STOPPING" not in "\n".join(manager.drain())
        worker.signal(signal.SIGTERM)
        manager.wait_for("STOPPING=1")
        (world.directory / "go_on").touch()

        assert worker.wait() == 0
        assert worker.events("worker.stopped")[0]["abandoned"] == 0


def _threads(worker: WorkerProcess) -> set[str]:
    return {line["thread"] for line in worker.events("worker.thread")}
