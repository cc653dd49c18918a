"""What `shardworker check` finds about buckets: those that are read, and those that files are put into."""

import os
from collections.abc import Iterator

from config.settings import Settings
from worker.objects import ObjectStore, is_directory_bucket
from worker.objects.files import bucket_directory


def bucket_faults(store: ObjectStore, bucket: str, settings: Settings) -> Iterator[str]:
    """What is not as it should be with a bucket, a sentence each.

    Whether S3 takes an object is known only when one is put: that is not tried.

    Raises:
        ObjectError: it cannot be asked.
    """
    faults = store.check(bucket)
    yield from faults
    types = rejecting_types(settings) if bucket in settings.attachments.buckets else []
    if types and not faults and not _may_take_files(bucket):
        yield (
            f"The bucket {bucket} cannot be written to by this user, and {', '.join(types)} puts its bad "
            "rows there: change the directory's mode, or [[handlers.insert]] on_bad_row."
        )


def rejecting_types(settings: Settings) -> list[str]:
    """The job types that put files of bad rows beside their attachments."""
    return [
        handler.type
        for handler in settings.handlers.insert
        if handler.on_bad_row == "skip" and handler.source == "attachments"
    ]


def _may_take_files(bucket: str) -> bool:
    return not is_directory_bucket(bucket) or os.access(bucket_directory(bucket), os.W_OK | os.X_OK)
