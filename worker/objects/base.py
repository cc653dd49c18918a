"""The protocol of an object store, its errors, and the stream that tells the store's faults from others."""

import io
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

STREAM_BUFFER_BYTES: Final = 128 * 1024


class ObjectError(Exception):
    """Something about an object went wrong. The message names bucket and key, never content or secrets."""


class ObjectMissing(ObjectError):
    """The bucket answered: the object, or the version asked for, is not in it. Asking again cannot help."""


class ObjectNotAllowed(ObjectError):
    """The key leads out of its bucket."""


class ObjectStoreUnavailable(ObjectError):
    """The store did not answer as it should: throttling, a 5xx, no connection, no credentials, no bucket.

    Nobody who sent a job is to blame: wait and ask again. `code` is a short name for logs, such as
    `SlowDown` or `EndpointConnectionError`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Meter(Protocol):
    """Is told what S3 is asked for."""

    def note_request(self, service: str, action: str, /) -> None:
        """A request is sent, perhaps a repeated one; the action as AWS names it."""
        ...

    def note_bytes(self, direction: str, count: int, /) -> None:
        """An object of so many bytes was `read` or `written`."""
        ...


class NoMeter:
    """Forgets what it is told."""

    def note_request(self, service: str, action: str, /) -> None:
        """See `Meter`."""

    def note_bytes(self, direction: str, count: int, /) -> None:
        """See `Meter`."""


class ObjectStore(Protocol):
    """Buckets of objects. Safe to use from several threads at once."""

    def open(self, bucket: str, key: str, version_id: str | None = None) -> AbstractContextManager[BinaryIO]:
        """A stream of the object's stored bytes, closed at the end of the `with` block.

        Raises:
            ObjectMissing: there is no such object or version.
            ObjectNotAllowed: the key leads out of the bucket.
            ObjectStoreUnavailable: the store cannot be asked now; also raised while the stream is read.
        """
        ...

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Store the bytes under the key, in place of what was there; durable when it returns.

        Raises:
            ObjectNotAllowed: the key leads out of the bucket.
            ObjectStoreUnavailable: the store cannot be asked now.
        """
        ...

    def put_file(self, bucket: str, key: str, file: BinaryIO) -> None:
        """As `put`, with all that is in the file, in bounded memory; raises what reading it raises, too."""
        ...

    def check(self, bucket: str) -> list[str]:
        """What is not as it should be with the bucket, a sentence each; empty when all is well."""
        ...

    def close(self) -> None:
        """Let go of connections; the store is not used afterwards."""
        ...


class _Readable(Protocol):
    def read(self, amount: int, /) -> bytes: ...

    def close(self) -> None: ...


class _GuardedSource(io.RawIOBase):
    """Bytes from `source`, whose own faults become `ObjectStoreUnavailable`.

    Without it, a reader that copies to disk could not tell a fault of the store from one of the disk.
    """

    def __init__(self, source: _Readable, faults: tuple[type[Exception], ...], name: str) -> None:
        super().__init__()
        self._source = source
        self._faults = faults
        self._name = name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        with memoryview(buffer).cast("B") as view:
            try:
                data = self._source.read(len(view))
            except self._faults as fault:
                code = type(fault).__name__
                raise ObjectStoreUnavailable(code, f"Reading {self._name} broke off: {code}.") from fault
            view[: len(data)] = data
            return len(data)

    def close(self) -> None:
        if not self.closed:
            self._source.close()
        super().close()


def guarded_stream(source: _Readable, faults: tuple[type[Exception], ...], name: str) -> BinaryIO:
    """A buffered stream over `source` that raises `ObjectStoreUnavailable` for the given faults.

    `name` says in messages what is read. Closing the stream closes the source.
    """
    return io.BufferedReader(_GuardedSource(source, faults, name), STREAM_BUFFER_BYTES)
