"""The front of the object stores: the bucket's form says whether S3 or a directory is meant."""

from contextlib import AbstractContextManager
from typing import BinaryIO, Final

from config.settings import Queues
from worker.objects.base import Meter, ObjectStore
from worker.objects.files import DirectoryStore, is_directory_bucket
from worker.objects.s3 import S3Store

CONNECTIONS_DEFAULT: Final = 10


class BucketStore:
    """All buckets behind one front: `file:///directory` is a directory, any other name an S3 bucket."""

    def __init__(self, directories: ObjectStore, s3: ObjectStore) -> None:
        self._directories = directories
        self._s3 = s3

    def open(self, bucket: str, key: str, version_id: str | None = None) -> AbstractContextManager[BinaryIO]:
        """See `ObjectStore.open`."""
        return self._store_of(bucket).open(bucket, key, version_id)

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """See `ObjectStore.put`."""
        self._store_of(bucket).put(bucket, key, data)

    def put_file(self, bucket: str, key: str, file: BinaryIO) -> None:
        """See `ObjectStore.put_file`."""
        self._store_of(bucket).put_file(bucket, key, file)

    def check(self, bucket: str) -> list[str]:
        """See `ObjectStore.check`."""
        return self._store_of(bucket).check(bucket)

    def close(self) -> None:
        """See `ObjectStore.close`."""
        self._directories.close()
        self._s3.close()

    def _store_of(self, bucket: str) -> ObjectStore:
        return self._directories if is_directory_bucket(bucket) else self._s3


def open_object_store(
    settings: Queues, connections_maximum: int = CONNECTIONS_DEFAULT, meter: Meter | None = None
) -> ObjectStore:
    """The store for every bucket of the configuration; nothing is connected before its first use.

    `connections_maximum` should be at least the number of threads that use it at once. `meter` is told what
    S3 is asked for.
    """
    s3 = S3Store(
        region=settings.region,
        endpoint_url=settings.endpoint_url,
        connections_maximum=connections_maximum,
        meter=meter,
    )
    return BucketStore(DirectoryStore(), s3)
