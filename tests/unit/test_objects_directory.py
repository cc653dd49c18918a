"""The object store in a directory: nothing leads out of it, and nothing in it is half written."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Queues
from worker.objects import (
    ObjectMissing,
    ObjectNotAllowed,
    ObjectStore,
    ObjectStoreUnavailable,
    open_object_store,
)


@pytest.fixture
def store() -> Iterator[ObjectStore]:
    queues = Queues(request=["sqs://requests"], response="sqs://responses", failure="sqs://failures")
    store = open_object_store(queues)
    yield store
    store.close()


def read(store: ObjectStore, bucket: str, key: str) -> bytes:
    with store.open(bucket, key, None) as stream:
        return stream.read()


@pytest.mark.parametrize("key", ["../outside", "acme/../../outside", "/etc/hostname", "link/outside", "a\0b"])
def test_a_key_cannot_leave_its_directory(store: ObjectStore, tmp_path: Path, key: str) -> None:
    """Neither by dots nor by links nor by an absolute path, for reading and for writing."""
    (tmp_path / "bucket").mkdir()
    (tmp_path / "outside").write_text("secret")
    (tmp_path / "bucket" / "link").symlink_to(tmp_path)
    bucket = (tmp_path / "bucket").as_uri()
    with pytest.raises(ObjectNotAllowed):
        read(store, bucket, key)
    with pytest.raises(ObjectNotAllowed):
        store.put(bucket, key, b"changed")
    assert (tmp_path / "outside").read_text() == "secret"


def test_a_pipe_stops_nobody(store: ObjectStore, tmp_path: Path) -> None:
    """A name that is no regular file is missing; opening it does not wait for a writer."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ObjectMissing, match="no file"):
        read(store, tmp_path.as_uri(), "pipe")


def test_a_file_that_cannot_be_written_is_unavailable_and_leaves_nothing(
    store: ObjectStore, tmp_path: Path
) -> None:
    """A half-written object is never seen under its key nor under another."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "1.json").mkdir()
    with pytest.raises(ObjectStoreUnavailable):
        store.put(tmp_path.as_uri(), "results/1.json", b"{}")
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["1.json"]


def test_a_bucket_needs_an_absolute_directory(store: ObjectStore, tmp_path: Path) -> None:
    """`file://name` has no meaning: it is told by `check` and by a read."""
    assert "file:///directory" in store.check("file://relative")[0]
    with pytest.raises(ObjectStoreUnavailable, match="absolute"):
        read(store, "file://relative", "acme/x")
    locked = tmp_path / "file"
    locked.write_text("")
    assert "no directory" in store.check(locked.as_uri())[0]
