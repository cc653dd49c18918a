"""A private PostgreSQL server for tests: its own data directory and port, gone afterwards."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import NullPool, create_engine, text

from tests.support.private_server import (
    CONNECT_SECONDS,
    PASSWORD,
    free_port,
    give_away,
    run_unprivileged,
    skip_or_fail,
    with_limited_files,
)

START_TIMEOUT_SECONDS = "60"
POLL_SECONDS = 0.01
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "40",
    "deadlock_timeout": "100ms",
}


@dataclass(frozen=True)
class PostgreSQLServer:
    """A server of its own; its superuser is `postgres`. `settings` are parameters of the server."""

    programs: Path
    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    def url(
        self, database: str, *, password: str | None = PASSWORD, connect_seconds: int = CONNECT_SECONDS
    ) -> str:
        """The URL of one of its databases, as a shard's settings take it."""
        user = "postgres" if password is None else f"postgres:{password}"
        place = f"{user}@127.0.0.1:{self.port}/{database}"
        return f"postgresql+psycopg://{place}?connect_timeout={connect_seconds}"

    def create_database(self, database: str) -> None:
        """Make an empty database."""
        self.execute(f'CREATE DATABASE "{database}"')

    def execute(self, *statements: str) -> None:
        """Run statements, each a transaction of its own, as the superuser."""
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def start(self, *, file_bytes_maximum: int | None = None) -> None:
        """Start the server and wait until it answers; it can write no file larger than that."""
        parameters = {
            **SETTINGS,
            "port": str(self.port),
            "unix_socket_directories": str(self.home),
            **self.settings,
        }
        options = " ".join(f"-c {name}={value}" for name, value in parameters.items())
        waiting: list[str | Path] = ["-w", "-t", START_TIMEOUT_SECONDS, "-l", self.home / "log"]
        self._control(*waiting, "-o", options, "start", file_bytes_maximum=file_bytes_maximum)

    def stop(self) -> None:
        """Stop the server at once, without a checkpoint."""
        self._control("-w", "-m", "immediate", "stop")

    def kill(self) -> None:
        """Kill the server as a machine that goes down does: no warning, no last words."""
        server, *_ = self.processes()
        # one that stands still begins no process, and lets none that has ended go: all can be killed
        os.kill(server, signal.SIGSTOP)
        processes = self.processes()
        for process in processes:
            os.kill(process, signal.SIGKILL)
        while any(map(_lives, processes)):
            time.sleep(POLL_SECONDS)
        # a killed process can stay in the table of processes for a while: a new one would take it for alive
        for lock in (self._process_file, self.home / f".s.PGSQL.{self.port}.lock"):
            lock.unlink()

    def processes(self) -> list[int]:
        """The ids of its processes, the server's own first."""
        server = int(self._process_file.read_text(encoding="ascii").splitlines()[0])
        children = Path(f"/proc/{server}/task/{server}/children").read_text(encoding="ascii").split()
        return [server, *map(int, children)]

    @property
    def is_up(self) -> bool:
        """Whether the server was started, and neither stopped nor killed."""
        return self._process_file.exists()

    @property
    def _process_file(self) -> Path:
        return self.home / "data" / "postmaster.pid"

    def _control(self, *arguments: str | Path, file_bytes_maximum: int | None = None) -> None:
        command = [self.programs / "pg_ctl", "-D", self.home / "data", *arguments]
        run_unprivileged(with_limited_files(command, file_bytes_maximum))


def postgresql_or_skip() -> Path:
    """The directory of the server's programs, or the test is skipped; it fails where they must be."""
    found = _find_programs()
    return found or skip_or_fail("PostgreSQL's server is not installed (apt-get install postgresql)")


@contextmanager
def running_postgresql(**settings: str) -> Iterator[PostgreSQLServer]:
    """A private server on a free port of 127.0.0.1, stopped and removed at the end.

    `settings` are parameters of the server.
    """
    programs = postgresql_or_skip()
    home = Path(tempfile.mkdtemp(prefix="shardworker-postgresql-"))
    server = PostgreSQLServer(programs, home, settings)
    try:
        _initialise(programs, home)
        server.start()
        try:
            yield server
        finally:
            if server.is_up:
                server.stop()
    finally:
        shutil.rmtree(home)


def _initialise(programs: Path, home: Path) -> None:
    password_file = home / "password"
    password_file.write_text(PASSWORD, encoding="ascii")
    for path in (home, password_file):
        give_away(path)
    options = ["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]
    run_unprivileged([programs / "initdb", "-D", home / "data", "--pwfile", password_file, *options])


def _lives(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def _find_programs() -> Path | None:
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=_version)
    if installed:
        return installed[-1].parent
    on_path = shutil.which("pg_ctl")
    return Path(on_path).resolve().parent if on_path else None


def _version(program: Path) -> int:
    return int(program.parts[-3]) if program.parts[-3].isdigit() else 0
