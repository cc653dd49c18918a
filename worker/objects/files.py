"""Buckets that are directories of this machine, `file:///directory`: S3's stand-in without AWS."""

import errno
import io
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import unquote

from worker.objects.base import (
    ObjectError,
    ObjectMissing,
    ObjectNotAllowed,
    ObjectStoreUnavailable,
    guarded_stream,
)

PREFIX: Final = "file://"
ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP})


def is_directory_bucket(bucket: str) -> bool:
    """Whether the bucket's name has the form `file:///directory`."""
    return bucket.startswith(PREFIX)


def bucket_directory(bucket: str) -> Path:
    """The directory that `file:///directory` names, as `Path.as_uri()` writes it.

    Raises:
        ObjectStoreUnavailable: the name has no absolute path; only the configuration can repair that.
    """
    directory = Path(unquote(bucket.removeprefix(PREFIX)))
    if not directory.is_absolute():
        raise ObjectStoreUnavailable(
            "BadBucketName", f"The bucket {bucket!r} names no absolute directory: write file:///directory."
        )
    return directory


def resolve_in_directory(bucket: str, key: str, under: str = "") -> Path:
    """Where the key leads in a directory bucket, all links and `..` followed.

    `under` is a folder of the bucket that it has to stay in; by default the whole bucket.

    Raises:
        ObjectNotAllowed: it leads out of there, or its name cannot be a file's.
        ObjectStoreUnavailable: the bucket's name has no absolute path.
    """
    directory = bucket_directory(bucket)
    try:
        boundary = directory.resolve() / under
        path = (directory / key).resolve()
    except (ValueError, OSError, RuntimeError) as error:
        reason = type(error).__name__
        raise ObjectNotAllowed(f"The key {key!r} cannot be a file's name: {reason}.") from error
    if boundary not in path.parents:
        raise ObjectNotAllowed(f"The key {key!r} leads out of {bucket}/{under}.")
    return path


class DirectoryStore:
    """Objects as files. There are no versions here: one that is asked for by its version is missing."""

    @contextmanager
    def open(self, bucket: str, key: str, version_id: str | None = None) -> Iterator[BinaryIO]:
        """A stream of the file's bytes; see `ObjectStore.open`."""
        if version_id is not None:
            raise ObjectMissing(f"{bucket} is a directory and keeps no versions: {key!r} has none.")
        path = resolve_in_directory(bucket, key)
        with os.fdopen(_open_regular(bucket, key, path), "rb", buffering=0) as source:
            yield guarded_stream(source, (OSError,), f"{key!r} in {bucket}")

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Write the file whole or not at all; see `ObjectStore.put`."""
        self.put_file(bucket, key, io.BytesIO(data))

    def put_file(self, bucket: str, key: str, file: BinaryIO) -> None:
        """See `ObjectStore.put_file`."""
        path = resolve_in_directory(bucket, key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_durably(path, file)
        except OSError as error:
            raise _unavailable(error, f"Writing {key!r} in {bucket}") from error

    def check(self, bucket: str) -> list[str]:
        """See `ObjectStore.check`."""
        try:
            directory = bucket_directory(bucket)
        except ObjectStoreUnavailable as error:
            return [str(error)]
        if not directory.is_dir():
            return [f"The bucket {bucket} is no directory: create it or correct the configuration."]
        if not os.access(directory, os.R_OK | os.X_OK):
            return [f"The directory of the bucket {bucket} cannot be read by this user: change its mode."]
        return []

    def close(self) -> None:
        """Nothing is held open between calls."""


def _open_regular(bucket: str, key: str, path: Path) -> int:
    try:
        # Without O_NONBLOCK a named pipe in the bucket would stop the reader until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _open_fault(error, bucket, key) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ObjectMissing(f"There is no object {key!r} in {bucket}: that name is no file.")
    return descriptor


def _open_fault(error: OSError, bucket: str, key: str) -> ObjectError:
    if not bucket_directory(bucket).is_dir():
        return ObjectStoreUnavailable("NoSuchBucket", f"The bucket {bucket} is no directory (not mounted?).")
    if error.errno in ABSENT:
        return ObjectMissing(f"There is no object {key!r} in {bucket}.")
    return _unavailable(error, f"Opening {key!r} in {bucket}")


def _write_durably(path: Path, source: BinaryIO) -> None:
    source.seek(0)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".put-", delete=False) as unfinished:
        try:
            shutil.copyfileobj(source, unfinished)
            unfinished.flush()
            os.fsync(unfinished.fileno())
            Path(unfinished.name).replace(path)
        except BaseException:
            Path(unfinished.name).unlink(missing_ok=True)
            raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unavailable(error: OSError, what: str) -> ObjectStoreUnavailable:
    code = type(error).__name__
    return ObjectStoreUnavailable(code, f"{what} failed: {error.strerror or code}.")
