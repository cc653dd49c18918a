"""Files put beside attachments: written into the job's room on local disk, then stored in the bucket."""

import hashlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import BinaryIO, Final

from config.job import AttachmentReference
from handlers.beside import FileBeside, OpenBeside, StoredFile
from handlers.contract import Reject
from shards.failures import Failure, Kind, KnownFailure
from worker.attachment_disk import Room, disk_code
from worker.objects import (
    ObjectNotAllowed,
    ObjectStore,
    ObjectStoreUnavailable,
    is_directory_bucket,
    resolve_in_directory,
)
from worker.pulse import move

FOLDER_SUFFIX: Final = ".results"
FOLDER_OF_LONG_KEYS: Final = f"long{FOLDER_SUFFIX}"
KEY_BYTES_MAXIMUM: Final = 1024
STEP_BYTES_MAXIMUM: Final = 255
"""S3 takes longer keys' steps; a directory that stands in for it does not."""

DIGEST_CHARACTERS: Final = 16
BUDGET_STEP_BYTES: Final = 2**16
ODD: Final = re.compile(r"[^A-Za-z0-9_.-]")


class CannotPut(KnownFailure):
    """The store or the disk cannot take a file now, by no fault of the part: it is run again later."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(Failure(Kind.OUTSIDE, code, message))


class Beside:
    """The place beside a job's attachments: their store, and the room that the job has on disk."""

    def __init__(self, store: ObjectStore, room: Room) -> None:
        self._store = store
        self._room = room

    def opener(
        self, partner_id: str, maker: str, references: Mapping[str, AttachmentReference]
    ) -> OpenBeside:
        """What opens a part's files; `maker` names the job, its run and the customer."""

        @contextmanager
        def open_file(attachment: str, name: str) -> Iterator[FileBeside]:
            place = _Place(partner_id, references[attachment], maker, name)
            with _disk_faults():
                file = tempfile.TemporaryFile(dir=self._room.path)  # noqa: SIM115 - closed below, its faults not ours
            with file:
                beside = _File(file, self._store, self._room, place)
                try:
                    yield beside
                finally:
                    beside.give_room_back()

        return open_file


class _Place:
    """Where a file goes."""

    def __init__(self, partner_id: str, reference: AttachmentReference, maker: str, name: str) -> None:
        self.bucket = reference.bucket
        self._partner_id = partner_id
        self._key = reference.key
        self._maker = maker
        self._name = name

    def key(self, sha256: str) -> str:
        """The key of a file with this digest.

        Raises:
            Reject: it leads out of the partner's folder in a directory bucket.
            CannotPut: there is no such directory.
        """
        key = key_beside(
            self._partner_id, self._key, f"{self._maker}.{sha256[:DIGEST_CHARACTERS]}.{self._name}"
        )
        if is_directory_bucket(self.bucket):
            try:
                resolve_in_directory(self.bucket, key, under=self._partner_id)
            except ObjectNotAllowed as error:
                raise Reject(
                    "attachment_not_allowed", f"Nothing can be put beside the attachment: {error}"
                ) from None
            except ObjectStoreUnavailable as error:
                raise CannotPut("attachment_unavailable", str(error)) from error
        return key


class _File:
    """See `FileBeside`."""

    def __init__(self, file: BinaryIO, store: ObjectStore, room: Room, place: _Place) -> None:
        self._file = file
        self._store = store
        self._room = room
        self._place = place
        self._digest = hashlib.sha256()
        self._size = 0
        self._reserved = 0

    def write(self, data: bytes) -> None:
        """See `FileBeside.write`."""
        self._size += len(data)
        self._take_room()
        self._digest.update(data)
        with _disk_faults():
            self._file.write(data)

    def put(self) -> StoredFile:
        """See `FileBeside.put`."""
        sha256 = self._digest.hexdigest()
        bucket, key = self._place.bucket, self._place.key(sha256)
        move()
        try:
            with _disk_faults():
                self._file.flush()
                self._store.put_file(bucket, key, self._file)
        except ObjectStoreUnavailable as error:
            raise CannotPut("attachment_unavailable", str(error)) from error
        move()
        return StoredFile(bucket=bucket, key=key, size=self._size, sha256=sha256)

    def give_room_back(self) -> None:
        """The file is closed, and takes no room any longer."""
        self._room.shrink(self._reserved)
        self._reserved = 0

    def _take_room(self) -> None:
        while self._reserved < self._size:
            if not self._room.grow(BUDGET_STEP_BYTES):
                raise self._without_room()
            self._reserved += BUDGET_STEP_BYTES

    def _without_room(self) -> Reject | CannotPut:
        if self._room.can_ever_grow(BUDGET_STEP_BYTES):
            return CannotPut("no_disk_space", "Other jobs' attachments leave no room for a file beside one.")
        return Reject(
            "attachment_too_large",
            "The attachments, and what is put beside them, take more disk than there may be.",
        )


def key_beside(partner_id: str, attachment_key: str, name: str) -> str:
    """The key of a file beside an attachment: in a folder of the attachment's name.

    Where the attachment's key is so long that nothing can stand beside it, the folder is another one.
    """
    name = ODD.sub("_", name)
    key = f"{attachment_key}{FOLDER_SUFFIX}/{name}"
    steps = PurePosixPath(key).parts
    if (
        len(key.encode()) <= KEY_BYTES_MAXIMUM
        and max(len(step.encode()) for step in steps) <= STEP_BYTES_MAXIMUM
    ):
        return key
    return f"{partner_id}/{FOLDER_OF_LONG_KEYS}/{name}"


@contextmanager
def _disk_faults() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CannotPut(disk_code(error), f"The disk for attachments cannot be used: {reason}.") from error
