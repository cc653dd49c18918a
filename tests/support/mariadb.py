"""A private MariaDB server for tests: its own data directory and port, gone afterwards."""

import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import create_engine, text

from tests.support.private_server import (
    CONNECT_SECONDS,
    PASSWORD,
    free_port,
    give_away,
    run_unprivileged,
    skip_or_fail,
    start_unprivileged,
    with_limited_files,
)

USER = "tests"
START_SECONDS_MAXIMUM = 60
POLL_SECONDS = 0.02
SETTINGS = {
    "bind-address": "127.0.0.1",
    "skip-name-resolve": "1",
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-flush-method": "nosync",
    "innodb-buffer-pool-size": "16M",
    "innodb-log-file-size": "8M",
    "innodb-log-buffer-size": "2M",
    "innodb-buffer-pool-dump-at-shutdown": "0",
    "aria-pagecache-buffer-size": "1M",
    "key-buffer-size": "1M",
    "performance-schema": "0",
    "max-connections": "60",
    "local-infile": "1",
    "character-set-server": "utf8mb4",
    "collation-server": "utf8mb4_general_ci",
}
# The installation makes anonymous users, who would be taken before a user of any host.
FIRST_STATEMENTS = (
    "DELETE FROM mysql.global_priv WHERE User = '';",
    "FLUSH PRIVILEGES;",
    f"CREATE OR REPLACE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';",
    f"GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION;",
)


class Programs(NamedTuple):
    """Where the server's programs are."""

    server: Path
    installer: Path


@dataclass
class MariaDBServer:
    """A server of its own; its user `tests` may do everything. `settings` are options of `mariadbd`."""

    programs: Programs
    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    def url(
        self,
        database: str,
        *,
        user: str = USER,
        password: str | None = PASSWORD,
        driver: str = "mariadb+pymysql",
        port: int | None = None,
        connect_seconds: int = CONNECT_SECONDS,
    ) -> str:
        """The URL of one of its databases, as a shard's settings take it; `port` is a proxy's."""
        login = user if password is None else f"{user}:{password}"
        place = f"{login}@127.0.0.1:{port or self.port}/{database}"
        return f"{driver}://{place}?connect_timeout={connect_seconds}"

    def create_database(self, database: str) -> None:
        """Make an empty database."""
        self.execute(f"CREATE DATABASE `{database}`")

    def execute(self, *statements: str) -> None:
        """Run statements as a user who may do everything."""
        engine = create_engine(self.url(""), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()

    def start(self, *, file_bytes_maximum: int | None = None) -> None:
        """Start the server and wait until it answers; it can write no file larger than that."""
        options = {
            **SETTINGS,
            "datadir": str(self.home / "data"),
            "socket": str(self.home / "socket"),
            "pid-file": str(self.home / "pid"),
            "log-error": str(self.home / "log"),
            "init-file": str(self.home / "first.sql"),
            "port": str(self.port),
            **self.settings,
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        command: list[str | Path] = [self.programs.server, "--no-defaults", *arguments]
        process = start_unprivileged(with_limited_files(command, file_bytes_maximum))
        self._process = process
        self._wait_until_it_answers(process)

    def kill(self) -> None:
        """Kill the server as a machine that goes down does: no warning, no last words."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Stop the server in good order."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS_MAXIMUM
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                log = (self.home / "log").read_text(encoding="utf-8", errors="replace")
                raise RuntimeError(f"MariaDB did not start:\n{log}")
            time.sleep(POLL_SECONDS)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return bool(connection.recv(1))
        except OSError:
            return False


def mariadb_or_skip() -> Programs:
    """The server's programs, or the test is skipped; it fails where they must be."""
    found = _find_programs()
    return found or skip_or_fail("MariaDB's server is not installed (apt-get install mariadb-server)")


def mysqlclient_or_skip() -> None:
    """Skip the test if the driver mysqlclient is not installed; fail where it must be."""
    if importlib.util.find_spec("MySQLdb") is None:
        skip_or_fail("the driver mysqlclient is not installed (make fast)")


@contextmanager
def running_mariadb(**settings: str) -> Iterator[MariaDBServer]:
    """A private server on a free port of 127.0.0.1, stopped and removed at the end.

    `settings` are options of `mariadbd`, with underscores for its hyphens.
    """
    programs = mariadb_or_skip()
    home = Path(tempfile.mkdtemp(prefix="shardworker-mariadb-"))
    options = {name.replace("_", "-"): value for name, value in settings.items()}
    server = MariaDBServer(programs, home, options)
    try:
        _initialise(programs, home)
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(home)


def _initialise(programs: Programs, home: Path) -> None:
    first = home / "first.sql"
    first.write_text("\n".join(FIRST_STATEMENTS), encoding="ascii")
    for path in (home, first):
        give_away(path)
    options = ["--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=8M"]
    run_unprivileged([programs.installer, "--no-defaults", f"--datadir={home / 'data'}", *options])


def _find_programs() -> Programs | None:
    server = shutil.which("mariadbd", path="/usr/sbin:/usr/local/sbin") or shutil.which("mariadbd")
    installer = shutil.which("mariadb-install-db")
    if server is None or installer is None:
        return None
    return Programs(Path(server), Path(installer))
