"""Tells the service manager how the process stands, in systemd's protocol, where it asked to be told."""

import socket
from collections.abc import MutableMapping
from datetime import timedelta
from typing import Final

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
RELOADING: Final = "RELOADING=1"
PING: Final = "WATCHDOG=1"
PATIENCE_SECONDS: Final = 1.0


class ServiceManager:
    """Whoever started the process and wants to hear of it, or nobody: then nothing is sent.

    Telling never raises and waits for a second at most. `watchdog` is within what time a ping has to come;
    None: none is expected.
    """

    def __init__(self, address: str | None = None, watchdog: timedelta | None = None) -> None:
        # An abstract socket is written with an @, and its name begins with a zero byte.
        self._address = f"\0{address[1:]}" if address and address[0] == "@" else address
        self.watchdog = watchdog

    @classmethod
    def taken_from(cls, environment: MutableMapping[str, str], pid: int) -> "ServiceManager":
        """The one that the environment names; its variables are removed, for they are not for children."""
        address = environment.pop("NOTIFY_SOCKET", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        watched_pid = environment.pop("WATCHDOG_PID", "") or str(pid)
        if not address.startswith(("/", "@")):
            return cls()
        watched = watched_pid == str(pid) and microseconds.isdecimal() and int(microseconds) > 0
        return cls(address, timedelta(microseconds=int(microseconds)) if watched else None)

    def tell(self, *assignments: str) -> None:
        """Send assignments such as `READY=1`, together."""
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.settimeout(PATIENCE_SECONDS)
                channel.sendto("\n".join(assignments).encode(errors="backslashreplace"), self._address)
        except OSError:
            # A manager that is gone, or takes nothing, must not keep the worker from its work.
            return


def extension(span: timedelta) -> str:
    """The assignment that asks for so much more time, from now on, to stop in."""
    return f"EXTEND_TIMEOUT_USEC={span // timedelta(microseconds=1)}"


def reloading(monotonic_seconds: float) -> str:
    """The assignments that a reload begins with; `READY=1` ends it."""
    return f"{RELOADING}\nMONOTONIC_USEC={int(monotonic_seconds * 1_000_000)}"


def status(text: str) -> str:
    """The assignment of the line that `systemctl status` shows."""
    return f"STATUS={' '.join(text.split())}"
