"""The demo's directory: where everything lies in it, how it is made, and an earlier demo's replaced."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from worker.demo.queues import DemoQueues, embedded_queues

MARKER: Final = ".shardworker-demo"
MARKER_TEXT: Final = "Made by `shardworker demo`, which replaces this directory when it runs again.\n"


class DirectoryTaken(Exception):
    """The directory holds something that is no demo's; it was left as it was."""

    def __init__(self, directory: Path) -> None:
        super().__init__(
            f"{directory} is not empty and no earlier demo made it, so it is left as it is. "
            "Name another directory: shardworker demo DIRECTORY."
        )


@dataclass(frozen=True, slots=True)
class Place:
    """The paths and addresses of a demo; `directory` is absolute."""

    directory: Path
    queues: DemoQueues

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.directory / "config.toml"

    @property
    def log(self) -> Path:
        """The worker's log: JSON lines."""
        return self.directory / "worker.log"

    @property
    def bucket(self) -> Path:
        """The directory that stands in for the attachments' bucket."""
        return self.directory / "bucket"

    @property
    def state(self) -> Path:
        """The worker's own directory."""
        return self.directory / "state"

    @property
    def password(self) -> Path:
        """The file of the broker's password, where it has one."""
        return self.directory / "broker.password"

    def shard_url(self, name: str) -> str:
        """The URL of an SQLite shard."""
        return f"sqlite:///{quote(str(self.directory / name))}.db"


def make_place(directory: Path, queues: DemoQueues | None = None) -> Place:
    """Make the directory, empty but for its marker, in place of an earlier demo's.

    Without `queues`, on a broker, they are embedded in the directory.

    Raises:
        DirectoryTaken: it holds something, or is something, that no demo made.
        OSError: it cannot be made.
    """
    directory = directory.resolve()
    if directory.exists():
        _clear(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MARKER).write_text(MARKER_TEXT, encoding="utf-8")
    place = Place(directory, queues or embedded_queues(directory))
    place.bucket.mkdir()
    place.state.mkdir()
    return place


def _clear(directory: Path) -> None:
    if not directory.is_dir():
        raise DirectoryTaken(directory)
    entries = list(directory.iterdir())
    if entries and not (directory / MARKER).is_file():
        raise DirectoryTaken(directory)
    # The marker goes last: an interrupted clearing leaves what the next demo still knows as a demo's.
    for entry in sorted(entries, key=lambda entry: entry.name == MARKER):
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
