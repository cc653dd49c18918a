"""Files that a handler puts beside an attachment, for the partner: what it sees of them."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, NoReturn, Protocol

from msgspec import Struct

NAME: Final = re.compile(r"[a-z0-9-]{1,40}\.[a-z0-9]{1,10}")


class StoredFile(Struct, frozen=True, kw_only=True):
    """Where a file was put, as a job would refer to it as an attachment of its own."""

    bucket: str
    key: str
    size: int
    sha256: str


class FileBeside(Protocol):
    """A file that is written on local disk and then put beside an attachment."""

    def write(self, data: bytes) -> None:
        """Add these bytes; raises as `PartContext.file_beside` says."""
        ...

    def put(self) -> StoredFile | None:
        """Store what was written, and nothing more comes; None in a dry run, which stores nothing.

        Call it last: the transaction is open meanwhile. Raises as `PartContext.file_beside` says.
        """
        ...


OpenBeside = Callable[[str, str], AbstractContextManager[FileBeside]]
"""Opens a file by the attachment's name and its own."""


class _Unkept:
    """A file in a dry run."""

    def write(self, data: bytes) -> None:
        """Nobody will read it."""

    def put(self) -> None:
        """Nothing is stored."""


@contextmanager
def open_unkept(_attachment: str, _name: str) -> Iterator[FileBeside]:
    """A file of which nothing is kept."""
    yield _Unkept()


def open_nowhere(_attachment: str, _name: str) -> NoReturn:
    """Where there is no store."""
    raise RuntimeError("This context has no place beside its attachments: its maker gave it none.")


def check_name(name: str) -> None:
    """Raise `ValueError` for what cannot be the name of a file beside an attachment."""
    if NAME.fullmatch(name) is None:
        raise ValueError("A file beside an attachment has a name such as 'rejected.csv': a-z, 0-9 and '-'.")
