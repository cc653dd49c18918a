"""Objects in buckets: one store over S3 and over directories that stand in for it (`file:///directory`)."""

from worker.objects.base import (
    ObjectError,
    ObjectMissing,
    ObjectNotAllowed,
    ObjectStore,
    ObjectStoreUnavailable,
)
from worker.objects.files import is_directory_bucket, resolve_in_directory
from worker.objects.store import open_object_store

__all__ = [
    "ObjectError",
    "ObjectMissing",
    "ObjectNotAllowed",
    "ObjectStore",
    "ObjectStoreUnavailable",
    "is_directory_bucket",
    "open_object_store",
    "resolve_in_directory",
]
