"""A real Symfony application, `tests/interop/application`, as the other side of a world's queues."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.support.private_server import skip_or_fail

APPLICATION: Final = Path(__file__).parents[1] / "interop" / "application"
COMPONENTS: Final = Path("/usr/share/php/Symfony/Component")
SECONDS_MAXIMUM: Final = 60
START_SECONDS: Final = 20
NEEDED: Final = ("Console", "Messenger/Bridge/AmazonSqs", "PropertyInfo", "Serializer")


class Seen(msgspec.Struct, frozen=True, rename={"message_class": "class"}):
    """A message as the application's worker had it: an object of its class, and the stamps on it."""

    handled: bool
    receiver: str
    message_class: str
    fields: dict[str, Any]
    types: dict[str, str]
    stamps: dict[str, list[Any]]


@dataclass(frozen=True)
class SymfonyApplication:
    """The application, whose transports are queues of the server at `endpoint` (host and port)."""

    endpoint: str
    directory: Path

    def produce(self, *messages: Mapping[str, Any], **environment: str) -> None:
        """Dispatch messages: their `fields`, and perhaps a `delay` in milliseconds and a `trace`."""
        lines = "".join(f"{json.dumps(message)}\n" for message in messages)
        self.run(["console", "app:produce"], lines, **environment)

    def consume(self, receiver: str, count: int, **environment: str) -> list[Seen]:
        """Let `messenger:consume` have so many messages; with `FAIL`, its handler throws that."""
        seen = self.directory / "seen.jsonl"
        seen.write_text("")
        line = ["console", "messenger:consume", receiver, f"--limit={count}", "--sleep=0"]
        self.run([*line, f"--time-limit={SECONDS_MAXIMUM}"], SEEN=str(seen), **environment)
        return [msgspec.json.decode(line, type=Seen) for line in seen.read_text().splitlines()]

    def run(self, arguments: list[str], text: str = "", **environment: str) -> str:
        """What one of the application's scripts prints; it ends well."""
        script, *others = arguments
        done = subprocess.run(
            ["php", str(APPLICATION / script), *others],
            input=text,
            env={**os.environ, "SQS": self.endpoint, **environment},
            capture_output=True,
            text=True,
            timeout=SECONDS_MAXIMUM + START_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def need_symfony() -> None:
    """Skip, or fail, where PHP or Symfony is not installed."""
    if shutil.which("php") is None:
        skip_or_fail("there is no PHP")
    if missing := [name for name in NEEDED if not (COMPONENTS / name / "autoload.php").exists()]:
        skip_or_fail(f"Debian's packages of Symfony's {', '.join(missing)} are missing")
