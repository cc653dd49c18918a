"""A private RabbitMQ for tests: its own data directory and ports, killed and started again as tests like."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.certificates import Certificates, certificates
from tests.support.private_server import (
    PASSWORD,
    free_ports,
    give_away,
    skip_or_fail,
    start_unprivileged,
)

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
USER = "tests"
NODE = "tests@localhost"
START_SECONDS_MAXIMUM = 120
POLL_SECONDS = 0.05
QUIETLY = ["sh", "-c", 'exec "$0" "$@" >&-']
PROTOCOL = b"AMQP\x00\x00\x09\x01"
SETTINGS = """
listeners.tcp.1 = 127.0.0.1:{port}
listeners.ssl.1 = 127.0.0.1:{tls_port}
ssl_options.certfile = {certificates.server}
ssl_options.keyfile = {certificates.server_key}
default_user = {user}
default_pass = {password}
log.console = false
log.file.level = warning
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 50MB
"""
ADVANCED = "[{rabbit, [{channel_tick_interval, 500}]}]."
"""A channel looks twice a second whether a message was held for too long, not once a minute."""


@dataclass
class RabbitServer:
    """A server of its own; its user `tests` may do everything in the virtual host `/`."""

    home: Path
    certificates: Certificates
    ports: range = field(default_factory=lambda: free_ports(3))
    _process: subprocess.Popen[bytes] | None = None

    def url(self, queue: str) -> str:
        """The URL of one of its queues, as the configuration takes it."""
        return f"amqp://{USER}:{PASSWORD}@127.0.0.1:{self.ports[0]}/?queue={queue}"

    @property
    def tls_url(self) -> str:
        """The server's URL with TLS; its certificate names `127.0.0.1`."""
        return f"amqps://{USER}:{PASSWORD}@127.0.0.1:{self.ports[2]}/"

    def start(self) -> None:
        """Start the server, with what it kept when it was killed; returns when it answers."""
        self._process = process = start_unprivileged(self._command())
        deadline = time.monotonic() + START_SECONDS_MAXIMUM
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"RabbitMQ did not start:\n{self._log()}")
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """Kill the server as a machine that goes down does: no warning, no last words."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def evaluate(self, expression: str) -> None:
        """Evaluate Erlang on the server: for what its configuration says only at the start."""
        parse = f'{{ok, Tokens, _}} = erl_scan:string("{expression}.")'
        parsed = "{ok, Parsed} = erl_parse:parse_exprs(Tokens)"
        call = f"{{value, _, _}} = rpc:call('{NODE}', erl_eval, exprs, [Parsed, []])"
        script = f"{parse}, {parsed}, {call}, halt(0)."
        options = [*self._without_port_mapper(), "-dist_listen", "false", "-sname", "probe@localhost"]
        self._run(["erl", "-noinput", "-boot", "no_dot_erlang", *options, "-eval", script])

    def _run(self, command: list[str]) -> None:
        process = start_unprivileged([*QUIETLY, "env", f"HOME={self.home}", *command])
        assert process.wait(START_SECONDS_MAXIMUM) == 0

    def _command(self) -> list[str | Path]:
        options = [
            "-sname",
            NODE,
            *self._without_port_mapper(),
            "-kernel",
            "inet_dist_use_interface",
            "{127,0,0,1}",
        ]
        environment = {
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": self.home,
            # Makes the script become the server, so that who kills the one kills the other.
            "NOTIFY_SOCKET": self.home / "nobody-listens",
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_MNESIA_BASE": self.home / "data",
            "RABBITMQ_LOG_BASE": self.home / "log",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.home / "enabled_plugins",
            "RABBITMQ_CONFIG_FILE": self.home / "rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": self.home / "advanced.config",
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_FEATURE_FLAGS_FILE": self.home / "feature_flags",
            "RABBITMQ_PID_FILE": self.home / "pid",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": " ".join([*options, "+sbwt", "none"]),
        }
        return [*QUIETLY, "env", "-i", *(f"{name}={value}" for name, value in environment.items()), SERVER]

    def _without_port_mapper(self) -> list[str]:
        """Erlang's nodes find each other at a fixed port: no process stays behind that tells them ports."""
        return ["-start_epmd", "false", "-erl_epmd_port", str(self.ports[1])]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.ports[0]), timeout=1) as connection:
                connection.sendall(PROTOCOL)
                return bool(connection.recv(1))
        except OSError:
            return False

    def _log(self) -> str:
        return "\n".join(
            path.read_text(errors="replace") for path in sorted((self.home / "log").glob("*.log"))
        )


def rabbitmq_or_skip() -> None:
    """Skip the test if the server is not installed; fail where it must be."""
    if not SERVER.exists():
        skip_or_fail("RabbitMQ is not installed (apt-get install rabbitmq-server)")


@contextmanager
def running_rabbitmq() -> Iterator[RabbitServer]:
    """A private server on free ports of 127.0.0.1, stopped and removed at the end."""
    rabbitmq_or_skip()
    home = Path(tempfile.mkdtemp(prefix="shardworker-rabbitmq-"))
    with certificates() as files:
        server = RabbitServer(home, files)
        _configure(server)
        try:
            server.start()
            yield server
        finally:
            server.kill()
            shutil.rmtree(home, ignore_errors=True)


def _configure(server: RabbitServer) -> None:
    settings = SETTINGS.format(
        port=server.ports[0],
        tls_port=server.ports[2],
        certificates=server.certificates,
        user=USER,
        password=PASSWORD,
    )
    (server.home / "enabled_plugins").write_text("[].")
    (server.home / "advanced.config").write_text(ADVANCED)
    (server.home / "rabbitmq.conf").write_text(settings)
    give_away(server.home)


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitServer]:
    """The server that all tests of a run share; whoever kills it starts it again."""
    with running_rabbitmq() as server:
        yield server
