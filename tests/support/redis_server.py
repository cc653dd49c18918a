"""A private Redis server for tests: its own directory and port, an append-only file, gone afterwards."""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from tests.support.private_server import PASSWORD, free_port, give_away, skip_or_fail, start_unprivileged

START_TIMEOUT_SECONDS = 60.0
POLL_SECONDS = 0.01
SETTINGS = {
    "bind": "127.0.0.1",
    "requirepass": PASSWORD,
    "appendonly": "yes",
    "appendfsync": "always",
    "save": '""',
    "maxmemory-policy": "noeviction",
}


@dataclass
class RedisServer:
    """A server of its own, which writes each command to its disk. `settings` are directives of the server."""

    program: Path
    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    def url(self, queue: str) -> str:
        """The URL of a queue on it."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0?queue={queue}"

    def client(self) -> Redis:
        """A connection beside the worker's, to look and to set; to be closed."""
        return Redis(host="127.0.0.1", port=self.port, password=PASSWORD)

    def start(self) -> None:
        """Start the server and wait until it has read its file and answers."""
        path = self.home / "redis.conf"
        directives = {**SETTINGS, "port": str(self.port), "dir": str(self.home), **self.settings}
        directives["logfile"] = str(self.home / "log")
        path.write_text("".join(f"{name} {value}\n" for name, value in directives.items()), encoding="ascii")
        give_away(path)
        self._process = start_unprivileged([self.program, path])
        self._wait_until_it_answers()

    def kill(self) -> None:
        """Kill the server as a machine that goes down does: no warning, no last words."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop the server."""
        self._end(signal.SIGTERM)

    @property
    def is_up(self) -> bool:
        """Whether the server was started, and neither stopped nor killed."""
        return self._process is not None

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(START_TIMEOUT_SECONDS)
        self._process = None

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        with self.client() as client:
            while not _answers(client):
                assert time.monotonic() < deadline, f"Redis on port {self.port} does not answer"
                time.sleep(POLL_SECONDS)


def redis_or_skip() -> Path:
    """The server's program, or the test is skipped; it fails where it must be."""
    found = shutil.which("redis-server")
    return Path(found) if found else skip_or_fail("Redis is not installed (apt-get install redis-server)")


@contextmanager
def running_redis(**settings: str) -> Iterator[RedisServer]:
    """A private server on a free port of 127.0.0.1, stopped and removed at the end.

    `settings` are directives of the server, with _ for -.
    """
    program = redis_or_skip()
    home = Path(tempfile.mkdtemp(prefix="shardworker-redis-"))
    give_away(home)
    server = RedisServer(program, home, {name.replace("_", "-"): value for name, value in settings.items()})
    try:
        server.start()
        yield server
    finally:
        if server.is_up:
            server.stop()
        shutil.rmtree(home)


def _answers(client: Redis) -> bool:
    with suppress(RedisError):
        return bool(client.ping())
    return False
