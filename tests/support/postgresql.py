"""A private PostgreSQL server for tests: its own data directory and port, gone afterwards."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

PASSWORD = "s3cret-of-the-tests"
REQUIRED = "SHARDWORKER_TEST_SERVERS"
UNPRIVILEGED_USER = "nobody"
START_TIMEOUT_SECONDS = "60"
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
    """A running server; its superuser is `postgres`."""

    port: int

    def url(self, database: str, *, password: str | None = PASSWORD) -> str:
        """The URL of one of its databases, as a shard's settings take it."""
        user = "postgres" if password is None else f"postgres:{password}"
        return f"postgresql+psycopg://{user}@127.0.0.1:{self.port}/{database}"

    def create_database(self, database: str) -> None:
        """Make an empty database."""
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{database}"'))
        engine.dispose()


def postgresql_or_skip() -> Path:
    """The directory of the server's programs, or the test is skipped; it fails where they must be."""
    found = _find_programs()
    if found is not None:
        return found
    reason = "PostgreSQL's server is not installed (apt-get install postgresql)"
    if os.environ.get(REQUIRED) == "required":
        pytest.fail(f"{reason}, and {REQUIRED}=required asks for it")
    pytest.skip(f"{reason}; {REQUIRED}=required makes this a failure")


@contextmanager
def running_postgresql() -> Iterator[PostgreSQLServer]:
    """A private server on a free port of 127.0.0.1, stopped and removed at the end."""
    programs = postgresql_or_skip()
    home = Path(tempfile.mkdtemp(prefix="shardworker-postgresql-"))
    data = home / "data"
    port = _free_port()
    try:
        _initialise(programs, home, data)
        _run(
            [
                programs / "pg_ctl",
                "-D",
                data,
                "-w",
                "-t",
                START_TIMEOUT_SECONDS,
                *_start_options(home, port),
                "start",
            ]
        )
        try:
            yield PostgreSQLServer(port)
        finally:
            _run([programs / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(home)


def _initialise(programs: Path, home: Path, data: Path) -> None:
    password_file = home / "password"
    password_file.write_text(PASSWORD, encoding="ascii")
    if os.geteuid() == 0:
        user = pwd.getpwnam(UNPRIVILEGED_USER)
        os.chown(home, user.pw_uid, user.pw_gid)
        os.chown(password_file, user.pw_uid, user.pw_gid)
    options = ["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]
    _run([programs / "initdb", "-D", data, "--pwfile", password_file, *options])


def _start_options(home: Path, port: int) -> list[str | Path]:
    options = {**SETTINGS, "port": str(port), "unix_socket_directories": str(home)}
    return ["-l", home / "log", "-o", " ".join(f"-c {name}={value}" for name, value in options.items())]


def _run(command: Sequence[str | Path]) -> None:
    # PostgreSQL refuses to run as root
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = pwd.getpwnam(UNPRIVILEGED_USER)
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, **as_user)


def _find_programs() -> Path | None:
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=_version)
    if installed:
        return installed[-1].parent
    on_path = shutil.which("pg_ctl")
    return Path(on_path).resolve().parent if on_path else None


def _version(program: Path) -> int:
    return int(program.parts[-3]) if program.parts[-3].isdigit() else 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
