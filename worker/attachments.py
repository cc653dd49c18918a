"""A job's attachments: allowed or not, then streamed to local disk with their size and SHA-256 verified."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from config import settings
from config.job import AttachmentReference
from handlers.contract import LocalAttachment
from worker.attachment_disk import DiskBudget, ProcessDirectory, Room, disk_code
from worker.beside import Beside
from worker.objects import (
    ObjectMissing,
    ObjectNotAllowed,
    ObjectStore,
    ObjectStoreUnavailable,
    is_directory_bucket,
    resolve_in_directory,
)
from worker.pulse import move

CHUNK_BYTES: Final = 256 * 1024


class AttachmentsUnavailable(Exception):
    """The attachments cannot be had now, by no fault of the job: give it back and try again later.

    `code` is `attachment_unavailable`, `no_disk_space` or `shutdown`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class AttachmentFault(NamedTuple):
    """Why an attachment can never be had: what every part that uses it fails with."""

    code: str
    message: str


def _nothing_to_remove() -> None:
    """There are no files."""


@dataclass(frozen=True, slots=True)
class FetchedAttachments:
    """What a job's attachments came to: by name, the files on disk and the faults of the others.

    `beside` opens the files that are put beside them; None where none was fetched.
    """

    files: Mapping[str, LocalAttachment]
    faults: Mapping[str, AttachmentFault]
    remove: Callable[[], None] = field(default=_nothing_to_remove, repr=False)
    beside: Beside | None = field(default=None, repr=False)

    def close(self) -> None:
        """Remove the files and free their room. May be called again, and from any thread."""
        self.remove()


class AttachmentFetcher:
    """Fetches attachments into a directory of this process below `directory`; thread-safe.

    Where buckets are allowed, what killed processes left below `directory` is removed at once.
    `stop`, when set, ends fetches that are under way.

    Raises:
        AttachmentsUnavailable: the directory cannot be made or written to.
    """

    def __init__(
        self,
        store: ObjectStore,
        limits: settings.Attachments,
        directory: Path,
        stop: threading.Event | None = None,
    ) -> None:
        self._store = store
        self._limits = limits
        self._stop = stop or threading.Event()
        self._budget = DiskBudget(limits.max_disk)
        self._directory: ProcessDirectory | None = None
        if limits.buckets:
            with _disk_faults():
                self._directory = ProcessDirectory(directory, self._budget)

    def check_allowed(self, partner_id: str, references: Sequence[AttachmentReference]) -> str | None:
        """Why the partner may not use one of these attachments, as a sentence; None where it may use all.

        A bucket has to stand on the allow-list, a key below the partner's own prefix. In a directory
        bucket the file that the key leads to, links followed, has to lie in the partner's folder.

        Raises:
            AttachmentsUnavailable: an allowed directory bucket is none.
        """
        refusals = (self._refusal(partner_id, reference) for reference in references)
        return next((refusal for refusal in refusals if refusal is not None), None)

    def fetch(self, job_id: str, references: Sequence[AttachmentReference]) -> FetchedAttachments:
        """The attachments on local disk, under numbers for names, readable by this user alone.

        An attachment that can never be had (`attachment_missing`, `attachment_mismatch`,
        `attachment_too_large`) stands in `faults` and does not keep the others from being fetched.
        Close what is returned; where this raises, nothing is left behind. Call `check_allowed` before.

        Raises:
            AttachmentsUnavailable: the store, the disk or the budget cannot serve now.
        """
        faults = self._oversized(references)
        wanted = [reference for reference in references if reference.name not in faults]
        if not wanted:
            return FetchedAttachments({}, faults)
        room = self._open_room(job_id, sum(reference.size for reference in wanted))
        try:
            files = self._download_all(wanted, room.path, faults)
        except BaseException:
            room.close()
            raise
        return FetchedAttachments(files, faults, room.close, Beside(self._store, room))

    @property
    def disk_bytes(self) -> int:
        """What the attachments of the process take of its disk space now."""
        return self._budget.taken_bytes

    @property
    def disk_bytes_maximum(self) -> int:
        """What they may take."""
        return self._budget.maximum_bytes

    def close(self) -> None:
        """Remove the process's directory and everything in it."""
        if self._directory is not None:
            self._directory.close()

    def _refusal(self, partner_id: str, reference: AttachmentReference) -> str | None:
        subject = f"The attachment {reference.name!r}"
        if reference.bucket not in self._limits.buckets:
            return f"{subject} lies in a bucket that is not allowed here."
        # S3 takes `..` literally; what reads the same key as a path one day may not.
        if not reference.key.startswith(f"{partner_id}/") or ".." in reference.key.split("/"):
            return f"{subject} has a key that is not below the partner's own prefix '{partner_id}/'."
        if is_directory_bucket(reference.bucket):
            return _directory_refusal(partner_id, reference)
        return None

    def _oversized(self, references: Sequence[AttachmentReference]) -> dict[str, AttachmentFault]:
        faults = {
            reference.name: _too_large(reference, self._limits.max_size)
            for reference in references
            if reference.size > self._limits.max_size
        }
        wanted = [reference for reference in references if reference.name not in faults]
        if sum(reference.size for reference in wanted) > self._limits.max_disk:
            faults |= {reference.name: _too_large_together(self._limits.max_disk) for reference in wanted}
        return faults

    def _open_room(self, job_id: str, size: int) -> Room:
        if self._directory is None:
            raise AttachmentsUnavailable(
                "attachment_unavailable",
                "No bucket is allowed, so nothing can be fetched: [attachments] buckets.",
            )
        with _disk_faults():
            room = self._directory.open_room(job_id, size)
        if room is None:
            raise AttachmentsUnavailable(
                "no_disk_space",
                f"The attachments take {size} bytes, more than other jobs' attachments leave of the "
                f"{self._limits.max_disk} of [attachments] max_disk. They are fetched when there is room.",
            )
        return room

    def _download_all(
        self, references: Sequence[AttachmentReference], directory: Path, faults: dict[str, AttachmentFault]
    ) -> dict[str, LocalAttachment]:
        files = {}
        for number, reference in enumerate(references):
            path = directory / str(number)
            fault = self._download(reference, path)
            if fault is None:
                files[reference.name] = _local(reference, path)
            else:
                path.unlink(missing_ok=True)
                faults[reference.name] = fault
        return files

    def _download(self, reference: AttachmentReference, path: Path) -> AttachmentFault | None:
        try:
            with (
                _disk_faults(),
                self._store.open(reference.bucket, reference.key, reference.version_id) as stream,
                os.fdopen(_create(path), "wb") as target,
            ):
                size, sha256 = self._copy(stream, target, reference.size)
        except ObjectMissing:
            return _fault("attachment_missing", reference, "is not in its bucket")
        except ObjectNotAllowed:
            return _fault("attachment_not_allowed", reference, "has a key that leads out of its bucket")
        except ObjectStoreUnavailable as error:
            raise AttachmentsUnavailable("attachment_unavailable", str(error)) from error
        if size != reference.size:
            return _fault("attachment_mismatch", reference, f"has not the {reference.size} bytes of the job")
        if sha256 != reference.sha256.lower():
            return _fault("attachment_mismatch", reference, "has not the SHA-256 of the job")
        return None

    def _copy(self, stream: BinaryIO, target: BinaryIO, size: int) -> tuple[int, str]:
        """Copy up to `size` bytes; one more is read, to tell a longer object, and not written."""
        digest = hashlib.sha256()
        copied = 0
        while chunk := stream.read(min(CHUNK_BYTES, size + 1 - copied)):
            if self._stop.is_set():
                raise AttachmentsUnavailable("shutdown", "The worker stops: the attachments are not fetched.")
            copied += len(chunk)
            if copied > size:
                break
            move()
            digest.update(chunk)
            target.write(chunk)
        return copied, digest.hexdigest()


def _directory_refusal(partner_id: str, reference: AttachmentReference) -> str | None:
    try:
        resolve_in_directory(reference.bucket, reference.key, under=partner_id)
    except ObjectNotAllowed:
        return f"The attachment {reference.name!r} has a key that leads out of the partner's folder."
    except ObjectStoreUnavailable as error:
        raise AttachmentsUnavailable("attachment_unavailable", str(error)) from error
    return None


def _local(reference: AttachmentReference, path: Path) -> LocalAttachment:
    return LocalAttachment(
        name=reference.name,
        path=path,
        size=reference.size,
        sha256=reference.sha256.lower(),
        content_type=reference.content_type,
    )


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _fault(code: str, reference: AttachmentReference, what: str) -> AttachmentFault:
    return AttachmentFault(code, f"The attachment {reference.name!r} {what}.")


def _too_large(reference: AttachmentReference, maximum_bytes: int) -> AttachmentFault:
    return _fault(
        "attachment_too_large", reference, f"has {reference.size} bytes; at most {maximum_bytes} are taken"
    )


def _too_large_together(maximum_bytes: int) -> AttachmentFault:
    return AttachmentFault(
        "attachment_too_large",
        f"The job's attachments have more than {maximum_bytes} bytes together; no more are taken.",
    )


@contextmanager
def _disk_faults() -> Iterator[None]:
    """Faults of the local disk are nobody's job's: they make the attachments unavailable."""
    try:
        yield
    except OSError as error:
        raise AttachmentsUnavailable(
            disk_code(error),
            f"The disk for attachments cannot be used: {error.strerror or type(error).__name__}. "
            "The job waits; look after [attachments] directory.",
        ) from error
