"""A world whose workers are instances under a systemd of the tests' own, in the units' own sandbox."""

import json
from pathlib import Path
from typing import Any, Final

from tests.support.systemd_box import Box
from tests.support.world import World, wait_until

# A look starts a program.
PAUSE_SECONDS: Final = 0.2
STATE_DIRECTORY: Final = "/var/lib/shardworker"
DROP_IN: Final = "/run/systemd/system/shardworker@.service.d/world.conf"
# The units' sandbox, but for the world's directory, which holds its shards' files and the embedded queue.
SETTINGS: Final = """
[Service]
BindPaths={directory}
Environment=SHARDWORKER_CONFIG={directory}/config.toml
Environment=SHARDWORKER__WORKER__STATE_DIRECTORY={state_directory}
Environment=AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=eu-west-1
RestartSec=100ms
"""


class SystemdWorld:
    """A world, and the instances that work in it: `start` them by number."""

    def __init__(self, box: Box, world: World) -> None:
        self.box = box
        self.world = world
        shown = box.run("journalctl", "--lines=0", "--show-cursor", "--quiet")
        self._before = shown.removeprefix("-- cursor: ").strip()
        self.use("")

    def use(self, settings: str) -> None:
        """Put settings into the instances' unit, in place of those from the last call."""
        lines = SETTINGS.format(directory=self.world.directory, state_directory=STATE_DIRECTORY)
        self.box.write(DROP_IN, lines + settings)
        self.box.run("systemctl", "daemon-reload")

    def start(self, *instances: int) -> None:
        """Start instances; they are ready when this returns."""
        self.give_away()
        self.box.run("systemctl", "start", *map(unit, instances))

    def give_away(self) -> None:
        """Let the workers' user own the world's files."""
        owner = self.box.run("id", "-u", "shardworker").strip()
        self.box.run("chown", "-R", f"{owner}:{owner}", self.world.directory)

    def journal(self, instance: int | str) -> list[str]:
        """What an instance, or the named unit, wrote to the journal in this world, and systemd about it."""
        name = instance if isinstance(instance, str) else unit(instance)
        return self.box.journal(name, f"--after-cursor={self._before}")

    def log(self, instance: int | str) -> list[dict[str, Any]]:
        """The lines of the program's own log."""
        return [json.loads(line) for line in self.journal(instance) if line.startswith("{")]

    def events(self, instance: int | str, name: str) -> list[dict[str, Any]]:
        """An instance's lines of one event."""
        return [line for line in self.log(instance) if line["event"] == name]

    def main_pid(self, instance: int) -> int:
        """An instance's process, as it is numbered inside; 0 while there is none."""
        return int(self.box.show(unit(instance), "MainPID")["MainPID"])

    def interpreter(self, instance: int) -> str:
        """The program that the instance's process runs: Python, of its version's environment."""
        command = self.box.path(f"/proc/{self.main_pid(instance)}/cmdline").read_text(encoding="utf-8")
        return command.split("\0")[0]

    def wait_for(self, instance: int, **properties: str) -> None:
        """Wait until the instance's unit has these properties."""
        wait_until(
            lambda: self.box.show(unit(instance), *properties) == properties,
            f"{unit(instance)} to have {properties}",
            PAUSE_SECONDS,
        )

    def wait_for_event(self, instance: int | str, name: str) -> dict[str, Any]:
        """The first line of an event, when it is there."""
        wait_until(lambda: bool(self.events(instance, name)), f"{instance}'s event {name}", PAUSE_SECONDS)
        return self.events(instance, name)[0]

    def wait_for_file(self, path: Path) -> Path:
        """Wait until a file is there that has this beginning; what it is called."""
        wait_until(lambda: any(path.parent.glob(f"{path.name}*")), f"the file {path}")
        return next(path.parent.glob(f"{path.name}*"))

    def close(self) -> None:
        """End what still runs, and take the settings back."""
        everything = "shardworker@*.service"
        self.box.ask("systemctl", "kill", "--signal=KILL", everything)
        self.box.run("systemctl", "stop", "shardworker.target", everything)
        self.box.ask("systemctl", "reset-failed", everything)
        self.box.path(DROP_IN).unlink()
        self.box.run("systemctl", "daemon-reload")
        self.world.close()


def unit(instance: int) -> str:
    """The name of an instance's unit."""
    return f"shardworker@{instance}.service"
