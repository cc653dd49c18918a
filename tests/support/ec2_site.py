"""An EC2 machine for tests: fake metadata, its group on moto, workers, and the watcher as a process."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.auto_scaling import AutoScalingSite
from tests.support.imds import FakeMetadata
from tests.support.world import ROOT, WorkerProcess, World

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


@dataclass
class Ec2Site:
    """The machine. Close it: watchers that still run are killed."""

    world: World
    metadata: FakeMetadata
    auto_scaling: AutoScalingSite
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

    def start_watcher(self, **environment: str) -> WorkerProcess:
        """Start `shardworker ec2 watch` as its own process."""
        log_path = self.world.directory / f"watcher-{len(self.watchers)}.log"
        variables = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.metadata.endpoint,
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

    def close(self) -> None:
        """End what still runs."""
        for watcher in self.watchers:
            if watcher.process.poll() is None:
                watcher.process.kill()
                watcher.process.wait()
