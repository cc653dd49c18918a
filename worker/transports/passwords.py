"""The password of a broker: read from its file at each connect, so that a changed one needs no restart."""

from collections.abc import Callable
from pathlib import Path

from worker.transports.base import TransportError

ReadPassword = Callable[[], str | None]


def password_reader(path: Path | None) -> ReadPassword:
    """What gives the password in the file, without the blanks around it; None without a file.

    It raises `TransportError` while the file cannot be read: the queue is tried again, as when it is away.
    """

    def read() -> str | None:
        return None if path is None else _read(path)

    return read


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise TransportError(
            f"The file of the broker's password, {path} ([queues] password_file), cannot be read: {reason}."
        ) from error
