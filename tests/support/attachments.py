"""Attachments for tests: a directory bucket, and fetchers that read from it."""

import hashlib
from pathlib import Path
from typing import Any

from config.job import AttachmentReference
from config.settings import Attachments, Queues
from worker.attachments import AttachmentFetcher
from worker.objects import ObjectStore, open_object_store

S3_BUCKET = "partner-files"


def reference(bucket: str, key: str, data: bytes = b"", **changes: Any) -> AttachmentReference:
    """What a job would say of an object that holds `data`, with changes."""
    fields = {
        "name": key.rsplit("/", 1)[-1],
        "bucket": bucket,
        "key": key,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    return AttachmentReference(**{**fields, **changes})


def directory_store() -> ObjectStore:
    """A store that is asked for directories only."""
    return open_object_store(Queues(request=["sqs://a"], response="sqs://b", failure="sqs://c"))


class Bench:
    """A directory bucket, and fetchers that read from it."""

    def __init__(self, root: Path) -> None:
        (root / "bucket").mkdir()
        self.bucket = (root / "bucket").as_uri()
        self.folder = root / "bucket"
        self.disk = root / "attachments"
        self.store = directory_store()

    def put(self, key: str, data: bytes, **changes: Any) -> AttachmentReference:
        """Store an object; what a job would say of it, with changes."""
        self.store.put(self.bucket, key, data)
        return reference(self.bucket, key, data, **changes)

    def fetcher(self, store: ObjectStore | None = None, **limits: Any) -> AttachmentFetcher:
        """A fetcher as one process has it."""
        settings = Attachments(buckets=[self.bucket, S3_BUCKET], **limits)
        return AttachmentFetcher(store or self.store, settings, self.disk)

    def files(self) -> list[str]:
        """What lies on disk, the locks apart."""
        names = (path.relative_to(self.disk) for path in self.disk.rglob("*") if path.is_file())
        return sorted("/".join(name.parts[1:]) for name in names if "lock" not in name.name)
