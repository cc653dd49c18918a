"""The lanes: limits held, turns fair, a close that leaves nothing behind."""

import threading
from datetime import timedelta

from tests.support.fakes import ManualTime
from tests.support.lanes import PATIENCE_SECONDS, SECOND, code_of, end, fill, lanes_of, put_away, take
from worker.lane import Reply
from worker.lanes import SHUTDOWN


def test_a_shard_never_runs_more_than_its_limit() -> None:
    """The third of two waits until one has ended, however many threads ask."""
    lanes = lanes_of(limit=2)
    fill(lanes, "eu1", "a", "b", "c")
    fill(lanes, "eu2", "d")
    first, second, other = take(lanes), take(lanes), take(lanes)
    assert {first.item, second.item, other.item} == {"a", "b", "d"}
    end(lanes, first)

    assert take(lanes).item == "c"


def test_a_server_s_shards_never_run_more_than_its_limit_together() -> None:
    """Threads are left for the shards of other servers, however many shards it has."""
    lanes = lanes_of(limit=2, server_limit=3)
    for shard in ("db1.a", "db1.b", "db1.c"):
        fill(lanes, shard, f"{shard} first", f"{shard} second")
    fill(lanes, "db2.a", "other", "another")
    running = [take(lanes) for _ in range(5)]
    assert sum(taken.lane.server.name == "db1" for taken in running) == 3
    end(lanes, running[0])

    assert take(lanes).lane.server.name == "db1"


def test_lanes_take_turns() -> None:
    """A shard with a hundred parts does not make another shard's single part wait."""
    lanes = lanes_of(limit=100, server_limit=1000)
    fill(lanes, "eu1", *(f"many-{number}" for number in range(100)))
    fill(lanes, "eu2", "one", "two")

    assert [take(lanes).item for _ in range(5)] == ["many-0", "one", "many-1", "two", "many-2"]


def test_a_lane_runs_a_partner_s_items_in_order() -> None:
    """First come, first served."""
    lanes = lanes_of(limit=10)
    fill(lanes, "eu1", "a", "b", "c")

    assert [take(lanes).item for _ in range(3)] == ["a", "b", "c"]


def test_partners_take_turns_in_a_lane() -> None:
    """A flood of one delays another's single part by one turn, also when it comes late."""
    lanes = lanes_of(limit=100)
    fill(lanes, "eu1", *(f"flood/job/{number}" for number in range(50)), "poor/job/1")
    first = [take(lanes).item for _ in range(3)]
    fill(lanes, "eu1", "poor/job/2", "late/job/1")

    assert first == ["flood/job/0", "poor/job/1", "flood/job/1"]
    assert [take(lanes).item for _ in range(4)] == ["flood/job/2", "poor/job/2", "late/job/1", "flood/job/3"]


def test_closing_returns_what_did_not_start_and_ends_the_workers() -> None:
    """Once; what runs is finished by its thread, and given back at once when its shard is away."""
    lanes = lanes_of(ManualTime())
    fill(lanes, "eu1", "runs", "a", "b")
    fill(lanes, "eu2", "c")
    running = take(lanes)

    assert sorted(lanes.close()) == ["a", "b", "c"]
    assert (lanes.close(), lanes.take(), code_of(lanes, "eu1", "d")) == ([], None, "shutdown")
    assert lanes.finished(running, Reply.UNANSWERED) == [("runs", SHUTDOWN)]


def test_closing_wakes_every_waiting_worker() -> None:
    """None of them is left behind."""
    lanes = lanes_of()
    threads = [threading.Thread(target=lanes.take, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    lanes.close()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)

    assert not any(thread.is_alive() for thread in threads)


def test_a_waiting_worker_notices_a_due_probe_while_the_others_are_busy() -> None:
    """Whoever slept until then may have been woken for other work: somebody else must wake in its place."""
    lanes = lanes_of(limit=1, delays=(timedelta(milliseconds=100), SECOND))
    busy, release = threading.Semaphore(0), threading.Event()
    probed = threading.Event()

    def work() -> None:
        while (taken := lanes.take()) is not None:
            if taken.item == "probe":
                probed.set()
            else:
                busy.release()
                release.wait(PATIENCE_SECONDS)
            lanes.finished(taken, Reply.ANSWERED)

    put_away(lanes, "eu1", "probe")
    for _ in range(3):
        threading.Thread(target=work, daemon=True).start()
    fill(lanes, "eu2", "long")
    fill(lanes, "us1", "long")
    for _ in range(2):
        assert busy.acquire(timeout=PATIENCE_SECONDS)

    assert probed.wait(PATIENCE_SECONDS)
    release.set()
    lanes.close()
