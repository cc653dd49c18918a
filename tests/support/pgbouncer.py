"""A private pgbouncer for tests, in transaction mode: any transaction may get any of its server sessions."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.postgresql import PostgreSQLServer
from tests.support.private_server import PASSWORD, free_port, give_away, skip_or_fail, start_unprivileged

PROGRAM = "/usr/sbin/pgbouncer"
START_SECONDS_MAXIMUM = 20
POLL_SECONDS = 0.02


@contextmanager
def running_pgbouncer(server: PostgreSQLServer, server_connections: int) -> Iterator[int]:
    """Its port of 127.0.0.1, with the server's users and databases; stopped and removed at the end."""
    program = shutil.which(PROGRAM) or shutil.which("pgbouncer")
    if program is None:
        skip_or_fail("pgbouncer is not installed (apt-get install pgbouncer)")
    home = Path(tempfile.mkdtemp(prefix="shardworker-pgbouncer-"))
    port = free_port()
    try:
        _write_configuration(home, server, port, server_connections)
        process = start_unprivileged([program, "-q", home / "pgbouncer.ini"])
        try:
            _wait_until_it_listens(process, port)
            yield port
        finally:
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(home)


def _write_configuration(home: Path, server: PostgreSQLServer, port: int, server_connections: int) -> None:
    configuration = home / "pgbouncer.ini"
    users = home / "users"
    configuration.write_text(
        "[databases]\n"
        f"* = host=127.0.0.1 port={server.port}\n"
        "[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"pool_mode = transaction\ndefault_pool_size = {server_connections}\n"
        f"auth_type = scram-sha-256\nauth_file = {users}\nlogfile = {home / 'log'}\n",
        encoding="ascii",
    )
    users.write_text(f'"postgres" "{PASSWORD}"\n', encoding="ascii")
    for path in (home, configuration, users):
        give_away(path)


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS_MAXIMUM
    while not _listens(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("pgbouncer did not start")
        time.sleep(POLL_SECONDS)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except ConnectionRefusedError:
        return False
