"""Attachments on local disk: a budget that all jobs share, a full disk, and what a killed worker leaves."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.attachments import Bench
from worker.attachments import AttachmentsUnavailable


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


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
    """ENOSPC gives the job back as `no_disk_space`, also where it comes only when the file is closed."""

    def full(path: Path) -> int:
        path.touch()
        return os.open("/dev/full", os.O_WRONLY)

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
