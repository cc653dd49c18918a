"""What the tests' private database servers share: an unprivileged user, a port, what to do without them."""

import os
import pwd
import secrets
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

PASSWORD = "s3cret-of-the-tests"
CONNECT_SECONDS = 30
"""How long a test waits to be connected where silence is not its subject: a machine may stall for seconds."""
REQUIRED = "SHARDWORKER_TEST_SERVERS"
UNPRIVILEGED_USER = "nobody"
FIRST_PORT, LAST_PORT = 15000, 32000
ATTEMPTS = 1000


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test for want of a server, or fail it where servers must be there."""
    if os.environ.get(REQUIRED) == "required":
        pytest.fail(f"{reason}, and {REQUIRED}=required asks for it")
    pytest.skip(f"{reason}; {REQUIRED}=required makes this a failure")


def free_ports(count: int) -> range:
    """So many ports of 127.0.0.1 in a row that nobody has, and that nobody gets by chance.

    They lie below those that the operating system gives to whoever asks for any: one of these, once let go,
    may be another's at any time, and every connection that somebody opens takes one.
    """
    for _ in range(ATTEMPTS):
        first = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT - count)
        ports = range(first, first + count)
        if all(map(_is_free, ports)):
            return ports
    raise AssertionError(f"no {count} free ports in a row from {FIRST_PORT} to {LAST_PORT}")


def free_port() -> int:
    """One such port."""
    return free_ports(1)[0]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def with_limited_files(command: Sequence[str | Path], bytes_maximum: int | None) -> list[str | Path]:
    """The same program, whose files cannot grow beyond so many bytes each, as if the disk were full."""
    if bytes_maximum is None:
        return [*command]
    return ["prlimit", f"--fsize={bytes_maximum}:", *command]


def run_unprivileged(command: Sequence[str | Path]) -> None:
    """Run a program to its end, without output; as another user where we are root, which servers refuse."""
    subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, **_as_unprivileged())


def start_unprivileged(command: Sequence[str | Path]) -> subprocess.Popen[bytes]:
    """Start a program that goes on, as such a user."""
    return subprocess.Popen(command, cwd="/", stderr=subprocess.DEVNULL, **_as_unprivileged())


def give_away(path: Path) -> None:
    """Let the unprivileged user own the path."""
    if os.geteuid() == 0:
        user = pwd.getpwnam(UNPRIVILEGED_USER)
        os.chown(path, user.pw_uid, user.pw_gid)


def _as_unprivileged() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(UNPRIVILEGED_USER)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
