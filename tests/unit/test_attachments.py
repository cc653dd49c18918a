"""Attachments: what is verified while they are fetched, and under which names they lie on disk."""

import hashlib
import io
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Attachments
from tests.support.attachments import S3_BUCKET, Bench, directory_store, reference
from worker.attachments import AttachmentFetcher, AttachmentsUnavailable
from worker.objects import ObjectStoreUnavailable


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


class OneObject:
    """A store whose every object is what `opened` makes."""

    def __init__(self, opened: Callable[[], BinaryIO]) -> None:
        self._opened = opened

    @contextmanager
    def open(self, bucket: str, key: str, version_id: str | None = None) -> Iterator[BinaryIO]:
        """The one object, whatever is asked for."""
        assert bucket
        assert key
        assert version_id is None
        with self._opened() as stream:
            yield stream

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Nothing can be put."""
        raise NotImplementedError

    def put_file(self, bucket: str, key: str, file: BinaryIO) -> None:
        """Nor a file."""
        raise NotImplementedError

    def check(self, bucket: str) -> list[str]:
        """Nothing is checked."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is held."""


class CountingStream(io.RawIOBase):
    """Endless zeros that count how many were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read_bytes = 0
        self.largest_read = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill all of the buffer."""
        self.read_bytes += len(buffer)
        self.largest_read = max(self.largest_read, len(buffer))
        buffer[:] = bytes(len(buffer))
        return len(buffer)


def test_attachments_are_fetched_under_numbers_and_removed(bench: Bench) -> None:
    """The partner's names are keys of a mapping; on disk there are numbers, for this user alone."""
    lines = bench.put("acme/j/lines.csv", b"a;b\n", content_type="text/csv")
    other = bench.put(
        "acme/j/other", b"", name="... 'rm -rf' ...", sha256=hashlib.sha256(b"").hexdigest().upper()
    )
    fetcher = bench.fetcher()
    fetched = fetcher.fetch("01JD", [lines, other])
    assert bench.files() == ["1-01JD/0", "1-01JD/1"]
    assert fetched.faults == {}
    local = fetched.files["lines.csv"]
    with local.open() as stream:
        assert stream.read() == b"a;b\n"
    assert (local.size, local.sha256, local.content_type) == (4, lines.sha256, "text/csv")
    assert fetched.files["... 'rm -rf' ..."].sha256 == other.sha256.lower()
    assert stat.S_IMODE(local.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(local.path.parent.stat().st_mode) == 0o700
    fetched.close()
    fetched.close()
    assert bench.files() == []
    fetcher.close()
    assert [path.name for path in bench.disk.iterdir()] == [".sweep-lock"]


def test_two_fetches_of_one_job_do_not_share_files(bench: Bench) -> None:
    """A copy of a job that is closed first takes nothing from the other."""
    lines = bench.put("acme/j/lines.csv", b"a;b\n")
    fetcher = bench.fetcher()
    first, second = fetcher.fetch("01JD", [lines]), fetcher.fetch("01JD", [lines])
    first.close()
    assert second.files["lines.csv"].path.read_bytes() == b"a;b\n"
    fetcher.close()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"key": "acme/j/none"}, "attachment_missing"),
        ({"version_id": "v1"}, "attachment_missing"),
        ({"size": 3}, "attachment_mismatch"),
        ({"size": 5}, "attachment_mismatch"),
        ({"size": 0}, "attachment_mismatch"),
        ({"sha256": "0" * 64}, "attachment_mismatch"),
        ({"size": 101}, "attachment_too_large"),
        ({"key": "../outside"}, "attachment_not_allowed"),
    ],
)
def test_a_bad_attachment_is_told_by_name_and_the_others_are_fetched(
    bench: Bench, changes: dict[str, Any], code: str
) -> None:
    """Parts that do not use it go on; of the bad one nothing stays on disk."""
    good = bench.put("acme/j/good", b"good")
    found = bench.put("acme/j/bad", b"evil", name="bad")
    bad = msgspec.structs.replace(found, **changes)
    fetcher = bench.fetcher(max_size=100)
    fetched = fetcher.fetch("01JD", [bad, good])
    assert fetched.faults["bad"].code == code
    assert "'bad'" in fetched.faults["bad"].message
    assert list(fetched.files) == ["good"]
    assert len(bench.files()) == 1
    fetcher.close()


@given(data=st.binary(max_size=100), claimed=st.binary(max_size=100))
def test_only_the_very_bytes_are_accepted(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, claimed: bytes
) -> None:
    """A file is handed on exactly when its size and SHA-256 are those of the job."""
    bench = Bench(tmp_path_factory.mktemp("bench"))
    bench.put("acme/a", data)
    fetcher = bench.fetcher()
    fetched = fetcher.fetch("01JD", [reference(bench.bucket, "acme/a", claimed)])
    assert (list(fetched.files) == ["a"]) == (data == claimed)
    fetcher.close()


def test_reading_stops_as_soon_as_there_are_too_many_bytes(bench: Bench) -> None:
    """An endless object costs as much as its declared size and one buffer, and memory for one piece."""
    stream = CountingStream()
    fetcher = bench.fetcher(OneObject(lambda: io.BufferedReader(stream)))
    fetched = fetcher.fetch("01JD", [reference(S3_BUCKET, "acme/endless", size=3_000_000)])
    assert fetched.faults["endless"].code == "attachment_mismatch"
    assert stream.read_bytes <= 3_000_000 + 2 * 256 * 1024
    assert stream.largest_read <= 256 * 1024
    fetcher.close()


class AwayStore(OneObject):
    """A store that answers once and then no more."""

    def __init__(self) -> None:
        super().__init__(lambda: io.BytesIO(b"data"))
        self._answered = False

    @contextmanager
    def open(self, bucket: str, key: str, version_id: str | None = None) -> Iterator[BinaryIO]:
        """The first object; afterwards a fault."""
        if self._answered:
            raise ObjectStoreUnavailable("SlowDown", "Reading failed: SlowDown.")
        self._answered = True
        with super().open(bucket, key, version_id) as stream:
            yield stream


def test_a_store_that_is_away_leaves_nothing_behind(bench: Bench) -> None:
    """The job is given back as a whole; files and budget of what was fetched already are freed."""
    fetcher = bench.fetcher(AwayStore(), max_disk=8)
    both = [reference(S3_BUCKET, f"acme/{name}", b"data") for name in "ab"]
    with pytest.raises(AttachmentsUnavailable, match="SlowDown") as caught:
        fetcher.fetch("01JD", both)
    assert caught.value.code == "attachment_unavailable"
    assert bench.files() == []
    with pytest.raises(AttachmentsUnavailable, match="SlowDown"):
        fetcher.fetch("01JD", both)
    fetcher.close()


def test_a_job_without_attachments_needs_no_directory(tmp_path: Path) -> None:
    """A worker that allows no bucket touches no disk."""
    fetcher = AttachmentFetcher(directory_store(), Attachments(), tmp_path / "state")
    assert fetcher.fetch("01JD", []).files == {}
    with pytest.raises(AttachmentsUnavailable, match="buckets"):
        fetcher.fetch("01JD", [reference("b", "acme/x")])
    fetcher.close()
    assert not (tmp_path / "state").exists()


def test_a_stop_ends_a_fetch_that_is_under_way(bench: Bench) -> None:
    """A long download does not hold a shutdown up."""
    stop = threading.Event()

    def stopping() -> BinaryIO:
        stop.set()
        return io.BytesIO(b"data")

    limits = Attachments(buckets=[S3_BUCKET])
    fetcher = AttachmentFetcher(OneObject(stopping), limits, bench.disk, stop)
    with pytest.raises(AttachmentsUnavailable) as caught:
        fetcher.fetch("01JD", [reference(S3_BUCKET, "acme/x", b"data")])
    assert caught.value.code == "shutdown"
    assert bench.files() == []
    fetcher.close()
