"""A service manager's end of the notification socket: what a process tells it, in order."""

import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE_SECONDS = 60.0


class FakeServiceManager:
    """Listens on a socket, in the file system or abstract; `environment` makes a process tell it."""

    def __init__(self, path: Path, *, abstract: bool = False) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.address = f"@{path}" if abstract else str(path)
        self._socket.bind(f"\0{path}" if abstract else str(path))
        self.told: list[str] = []

    def environment(self, watchdog_seconds: float | None = None) -> dict[str, str]:
        """The variables for a process, with a watchdog or without."""
        if watchdog_seconds is None:
            return {"NOTIFY_SOCKET": self.address}
        return {"NOTIFY_SOCKET": self.address, "WATCHDOG_USEC": str(round(watchdog_seconds * 1_000_000))}

    def next(self, patience_seconds: float = PATIENCE_SECONDS) -> str | None:
        """The next message, kept in `told` as well; None when none comes in time."""
        self._socket.settimeout(max(patience_seconds, 0.001))
        try:
            message = self._socket.recv(65536).decode()
        except (BlockingIOError, TimeoutError):
            return None
        self.told.append(message)
        return message

    def wait_for(self, text: str) -> str:
        """The next message that holds the text."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (message := self.next(deadline - time.monotonic())) is not None:
            if text in message:
                return message
        raise AssertionError(f"waited in vain for {text} after {self.told}")

    def drain(self) -> list[str]:
        """All messages that are there already."""
        before = len(self.told)
        while self.next(0) is not None:
            pass
        return self.told[before:]

    def __enter__(self) -> Self:
        """Nothing to do: it listens."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more."""
        self._socket.close()
