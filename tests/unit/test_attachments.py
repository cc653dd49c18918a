"""Attachments: whose they are, what is verified while they are fetched, and what is left of them on disk."""

import errno
import hashlib
import io
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.job import AttachmentReference
from config.settings import Attachments, Queues
from worker.attachments import AttachmentFetcher, AttachmentsUnavailable
from worker.objects import ObjectStore, ObjectStoreUnavailable, open_object_store

S3_BUCKET = "partner-files"


def reference(bucket: str, key: str, data: bytes = b"", **changes: Any) -> AttachmentReference:
    fields = {
        "name": key.rsplit("/", 1)[-1],
        "bucket": bucket,
        "key": key,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    return AttachmentReference(**{**fields, **changes})


def directory_store() -> ObjectStore:
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


def test_the_disk_budget_is_shared_by_all_jobs(bench: Bench) -> None:
    """What does not fit now waits until another job is closed; declared sizes count."""
    large = bench.put("acme/j/large", b"x" * 60)
    fetcher = bench.fetcher(max_disk=100)
    first = fetcher.fetch("1", [large])
    with pytest.raises(AttachmentsUnavailable) as caught:
        fetcher.fetch("2", [large])
    assert caught.value.code == "no_disk_space"
    first.close()
    first.close()
    second = fetcher.fetch("2", [large])
    with pytest.raises(AttachmentsUnavailable):
        fetcher.fetch("3", [large])
    second.close()
    fetcher.close()


def test_what_can_never_fit_is_refused_for_good(bench: Bench) -> None:
    """Attachments beyond the whole budget, alone or together, would wait for ever."""
    parts = [bench.put(f"acme/j/{number}", b"x" * 60) for number in range(2)]
    fetcher = bench.fetcher(max_disk=100)
    fetched = fetcher.fetch("01JD", parts)
    assert {fault.code for fault in fetched.faults.values()} == {"attachment_too_large"}
    assert list(fetched.faults) == ["0", "1"]
    fetcher.close()


def test_many_threads_never_take_more_than_the_budget(bench: Bench) -> None:
    """Eight threads fetch and close; the budget is whole again at the end."""
    lines = bench.put("acme/j/lines", b"x" * 30)
    fetcher = bench.fetcher(max_disk=100)
    lock, open_now, most_open = threading.Lock(), [0], [0]

    def fetch_often() -> None:
        for _ in range(20):
            try:
                fetched = fetcher.fetch("01JD", [lines])
            except AttachmentsUnavailable as error:
                assert error.code == "no_disk_space"  # noqa: PT017 - both ways of ending are right here
                continue
            with lock:
                open_now[0] += 1
                most_open[0] = max(most_open[0], open_now[0])
            with lock:
                open_now[0] -= 1
            fetched.close()

    threads = [threading.Thread(target=fetch_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 < most_open[0] <= 3
    assert len([fetcher.fetch("01JD", [lines]) for _ in range(3)]) == 3
    fetcher.close()


def test_a_full_disk_is_no_fault_of_the_job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC gives the job back as `no_disk_space`, and what was written is removed."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    lines = bench.put("acme/j/lines", b"data")
    fetcher = bench.fetcher()
    with monkeypatch.context() as patched:
        patched.setattr("worker.attachments._create", full)
        with pytest.raises(AttachmentsUnavailable, match="No space left") as caught:
            fetcher.fetch("01JD", [lines])
    assert caught.value.code == "no_disk_space"
    assert bench.files() == []
    fetcher.close()


def test_a_directory_that_cannot_be_used_is_told_at_the_start(bench: Bench) -> None:
    """A fetcher whose directory cannot be made says which setting to look at."""
    bench.disk.write_text("a file")
    with pytest.raises(AttachmentsUnavailable, match=r"\[attachments\] directory"):
        bench.fetcher()


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


@pytest.mark.parametrize(
    ("bucket", "key", "allowed"),
    [
        (S3_BUCKET, "acme/j/lines.csv", True),
        (S3_BUCKET, "acme/a..b/.../c", True),
        (S3_BUCKET, "acme//x", True),
        (S3_BUCKET, "acme", False),
        (S3_BUCKET, "acme2/j/lines.csv", False),
        (S3_BUCKET, "other/j/lines.csv", False),
        (S3_BUCKET, "/acme/j/lines.csv", False),
        (S3_BUCKET, "ACME/j/lines.csv", False),
        (S3_BUCKET, "acme/../other/lines.csv", False),
        (S3_BUCKET, "acme/..", False),
        (S3_BUCKET + "2", "acme/j/lines.csv", False),
        ("Partner-files", "acme/j/lines.csv", False),
        ("file:///etc", "acme/passwd", False),
    ],
)
def test_a_partner_reaches_only_allowed_buckets_and_its_own_prefix(
    bench: Bench, bucket: str, key: str, *, allowed: bool
) -> None:
    """Buckets are compared as they stand on the list, keys by the partner's prefix with its slash."""
    fetcher = bench.fetcher()
    refusal = fetcher.check_allowed(
        "acme", [reference(S3_BUCKET, "acme/fine"), reference(bucket, key, name="n")]
    )
    assert (refusal is None) == allowed
    assert refusal is None or "'n'" in refusal
    fetcher.close()


def test_a_link_does_not_lead_out_of_the_partners_folder(bench: Bench) -> None:
    """In a directory bucket the file counts, not the way to it."""
    bench.put("acme/own", b"")
    bench.put("other/theirs", b"")
    (bench.folder / "acme" / "good").symlink_to(bench.folder / "acme" / "own")
    (bench.folder / "acme" / "bad").symlink_to(bench.folder / "other" / "theirs")
    (bench.folder / "acme" / "up").symlink_to(bench.folder)
    (bench.folder / "linked").symlink_to(bench.folder / "other")
    fetcher = bench.fetcher()

    def allowed(partner_id: str, key: str) -> bool:
        return fetcher.check_allowed(partner_id, [reference(bench.bucket, key)]) is None

    assert allowed("acme", "acme/own")
    assert allowed("acme", "acme/good")
    assert allowed("acme", "acme/not-there-yet")
    assert not allowed("acme", "acme/bad")
    assert not allowed("acme", "acme/up/other/theirs")
    assert not allowed("acme", "acme/")
    assert not allowed("linked", "linked/theirs")
    fetcher.close()


def test_an_allowed_directory_that_is_none_is_an_operators_matter(tmp_path: Path) -> None:
    """A mistake in the configuration refuses no partner's job."""
    fetcher = AttachmentFetcher(
        directory_store(), Attachments(buckets=["file://relative"]), tmp_path / "state"
    )
    with pytest.raises(AttachmentsUnavailable, match="absolute"):
        fetcher.check_allowed("acme", [reference("file://relative", "acme/x")])
    fetcher.close()


HOLDER = """
import sys, pathlib, hashlib
from config.settings import Attachments, Queues
from config.job import AttachmentReference
from worker.attachments import AttachmentFetcher
from worker.objects import open_object_store

bucket, disk = sys.argv[1:]
store = open_object_store(Queues(request=["sqs://a"], response="sqs://b", failure="sqs://c"))
fetcher = AttachmentFetcher(store, Attachments(buckets=[bucket]), pathlib.Path(disk))
digest = hashlib.sha256(b"data").hexdigest()
fetcher.fetch("01JD", [AttachmentReference(name="a", bucket=bucket, key="acme/a", size=4, sha256=digest)])
print("fetched", flush=True)
sys.stdin.read()
"""


def test_leftovers_of_a_killed_worker_are_swept_and_those_of_a_live_one_kept(bench: Bench) -> None:
    """A process that was killed holds no lock any more; one that lives does, whoever starts beside it."""
    bench.put("acme/a", b"data")
    worker = subprocess.Popen(
        [sys.executable, "-c", HOLDER, bench.bucket, str(bench.disk)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "fetched\n"
        beside = bench.fetcher()
        assert bench.files() == ["1-01JD/0"]
        worker.send_signal(signal.SIGKILL)
    assert bench.files() == ["1-01JD/0"]
    after = bench.fetcher()
    assert bench.files() == []
    assert len([path for path in bench.disk.iterdir() if path.is_dir()]) == 2
    beside.close()
    after.close()


def test_a_sweep_leaves_what_is_not_the_workers(bench: Bench) -> None:
    """Only process directories are looked at; a file of that name is not one."""
    bench.disk.mkdir()
    (bench.disk / "process-notes").write_text("mine")
    (bench.disk / "archive").mkdir()
    bench.fetcher().close()
    assert sorted(path.name for path in bench.disk.iterdir()) == [".sweep-lock", "archive", "process-notes"]
