"""An EC2 machine for tests: fake metadata, its group on moto, workers, and the watcher."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.auto_scaling import AutoScalingSite
from tests.support.imds import REGION, FakeMetadata
from tests.support.world import PATIENCE_SECONDS, ROOT, LogFile, WorkerProcess, World
from worker.clock import Clock
from worker.ec2.metadata import Metadata
from worker.ec2.notices import Outlook
from worker.ec2.watcher import Machine, Watcher
from worker.lifecycle import LifeEvents
from worker.logs import configure_logging

OPTIONS = """
[ec2]
look_interval = "50ms"
metadata_patience = "500ms"
stop_command = ["{python}", "-m", "tests.support.target", "stop", "{target}"]
hurry_command = ["{python}", "-m", "tests.support.target", "hurry", "{target}"]
start_command = ["{python}", "-m", "tests.support.target", "start", "{target}"]
{more}
"""


def ec2_section(directory: Path, more: str = "") -> str:
    """The configuration's `[ec2]`: quick, and with a stand-in for systemd."""
    return OPTIONS.format(python=sys.executable, target=directory / "target", more=more)


class WatcherThread(LogFile):
    """The watcher on a thread of the test's own: a process would take a second to start."""

    def __init__(self, site: "Ec2Site", log_path: Path) -> None:
        self.log_path = log_path
        self._log = log_path.open("w", encoding="utf-8")
        settings = site.world.settings
        configure_logging(settings.logging, self._log)
        self._events = LifeEvents()
        outlook = Outlook(Metadata(site.metadata.endpoint_url))
        machine = Machine(site.auto_scaling.instance_id, REGION)
        watcher = Watcher(settings, outlook, machine, self._events, Clock())
        self._thread = threading.Thread(target=watcher.run, name="watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """As by SIGTERM, and wait for its end; nothing if it has ended."""
        self._events.put("SIGTERM")
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()
        self._log.close()


@dataclass
class Ec2Site:
    """The machine. Close it: watchers that still run are ended."""

    world: World
    metadata: FakeMetadata
    auto_scaling: AutoScalingSite
    watcher: WatcherThread | None = None
    watchers: list[WorkerProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        """The directory of the target's workers."""
        self.target = self.world.directory / "target"
        self.target.mkdir()
        self.metadata.values["instance-id"] = self.auto_scaling.instance_id

    def start_worker(self) -> WorkerProcess:
        """A worker that the target knows; returns when it receives."""
        worker = self.world.start_worker()
        (self.target / str(worker.process.pid)).touch()
        worker.wait_for_event("worker.started")
        return worker

    def watch(self, event: str = "ec2.watching") -> WatcherThread:
        """Start the watcher on a thread; it has looked once, and said so much, when this returns."""
        self.watcher = WatcherThread(self, self.world.directory / "watcher.log")
        self.watcher.wait_for_event(event)
        return self.watcher

    def start_watcher(self, **environment: str) -> WorkerProcess:
        """Start `shardworker ec2 watch` as its own process."""
        log_path = self.world.directory / f"watcher-{len(self.watchers)}.log"
        variables = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.metadata.endpoint_url,
            **self.auto_scaling.environment(),
            **environment,
        }
        command = [sys.executable, "-m", "worker", "ec2", "watch", "--config", str(self.world.config_path)]
        with log_path.open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, env=variables)
        watcher = WorkerProcess(process, log_path)
        self.watchers.append(watcher)
        return watcher

    def asked(self) -> list[str]:
        """What the target was asked for, in order."""
        path = self.target / "asked"
        return path.read_text().split() if path.exists() else []

    def logs(self) -> Iterator[LogFile]:
        """The watchers' logs."""
        yield from self.watchers
        if self.watcher is not None:
            yield self.watcher

    def close(self) -> None:
        """End what still runs."""
        if self.watcher is not None:
            self.watcher.stop()
        for watcher in self.watchers:
            if watcher.process.poll() is None:
                watcher.process.kill()
                watcher.process.wait()
