"""The batcher: in order, ten at most, no longer in waiting than it pays, and nothing lost."""

import queue
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fakes import ManualTime
from worker.batcher import BATCH_SIZE, Batcher, Pace

PATIENCE_SECONDS = 60.0
AT_ONCE = Pace(0, lambda: False)
SLOW = Pace(60, lambda: True)


def all_through(_batch: list[int]) -> list[int]:
    """Every item is done."""
    return []


class Arrivals:
    """A batcher's inner queue whose items arrive at given seconds of a manual time."""

    def __init__(self, time: ManualTime, arrivals: list[tuple[float, int]]) -> None:
        self._time = time
        self._arrivals = [(time.seconds + after, item) for after, item in arrivals]

    def get(self, timeout: float | None = None) -> int:
        """The next item, or Empty when it does not arrive in time."""
        if not self._arrivals:
            self._time.pass_time(timeout or 0)
            raise queue.Empty
        wait = max(0.0, self._arrivals[0][0] - self._time.seconds)
        if timeout is not None and wait > timeout:
            self._time.pass_time(timeout)
            raise queue.Empty
        self._time.pass_time(wait)
        return self._arrivals.pop(0)[1]

    def get_nowait(self) -> int:
        """The next item if it is there."""
        return self.get(timeout=0)


def collect(arrivals: list[tuple[float, int]], pace: Pace) -> tuple[list[int], float]:
    """The first batch, and after how long it was complete."""
    time = ManualTime()
    batcher: Batcher[int] = Batcher(all_through, pace, time.clock)
    batcher._items = Arrivals(time, arrivals)  # type: ignore[assignment]
    batch = batcher._collect([])
    return batch, time.seconds - 1000


@given(st.lists(st.sets(st.integers(0, BATCH_SIZE - 1)), max_size=12), st.integers(0, 40))
def test_nothing_is_lost_and_the_order_is_kept(refusals: list[set[int]], count: int) -> None:
    """Whatever is refused in each batch: it comes first in the next, and new items follow in their order."""
    batches: list[list[int]] = []
    done: list[int] = []
    again: list[int] = []
    script = iter(refusals)

    def flush(batch: list[int]) -> list[int]:
        nonlocal again
        assert 1 <= len(batch) <= BATCH_SIZE
        assert batch[: len(again)] == again
        batches.append(batch[len(again) :])
        refused = next(script, set())
        again = [item for position, item in enumerate(batch) if position in refused]
        done.extend(item for item in batch if item not in again)
        return list(again)

    batcher = Batcher(flush, AT_ONCE, ManualTime().clock)
    for item in range(count):
        batcher.put(item)
    batcher.close()
    batcher.run()

    assert sorted(done) == list(range(count))
    assert [item for batch in batches for item in batch] == list(range(count))


def test_what_waits_already_goes_together() -> None:
    """Full batches first: a backlog of 25 makes three calls."""
    sizes: list[int] = []

    def flush(batch: list[int]) -> list[int]:
        sizes.append(len(batch))
        return []

    batcher = Batcher(flush, AT_ONCE, ManualTime().clock)
    for item in range(25):
        batcher.put(item)
    batcher.close()
    batcher.run()

    assert sizes == [10, 10, 5]


@pytest.mark.parametrize(
    ("pace", "batch", "seconds"),
    [
        (Pace(0.05, lambda: True), [1, 2, 3], 0.05),
        (Pace(0.05, lambda: False), [1], 0.0),
        (Pace(0.5, lambda: True), [1, 2, 3, 4], 0.5),
        (Pace(0, lambda: True), [1], 0.0),
    ],
)
def test_a_batch_lingers_only_while_more_is_expected(pace: Pace, batch: list[int], seconds: float) -> None:
    """And no longer than its linger, counted from its first item."""
    arrivals = [(0.0, 1), (0.01, 2), (0.04, 3), (0.3, 4), (0.9, 5)]

    collected, took_seconds = collect(arrivals, pace)

    assert collected == batch
    assert took_seconds == pytest.approx(seconds)


def test_a_full_batch_does_not_linger() -> None:
    """Ten are ten."""
    arrivals = [(number / 1000, number) for number in range(12)]
    batch, seconds = collect(arrivals, SLOW)

    assert len(batch) == 10
    assert seconds == pytest.approx(0.009)


@pytest.mark.parametrize("end", [Batcher[int].hurry, Batcher[int].close])
def test_a_worker_that_leaves_lingers_no_more(end: Callable[[Batcher[int]], None]) -> None:
    """Not even the batch that is being collected."""
    flushed = threading.Event()

    def flush(_batch: list[int]) -> list[int]:
        flushed.set()
        return []

    batcher = Batcher(flush, SLOW, ManualTime().clock)
    threading.Thread(target=batcher.run, daemon=True).start()
    batcher.put(1)
    end(batcher)

    assert flushed.wait(PATIENCE_SECONDS)


def test_a_batcher_that_was_hurried_goes_on() -> None:
    """Jobs that still run in the drain are settled too."""
    flushed: queue.SimpleQueue[list[int]] = queue.SimpleQueue()

    def flush(batch: list[int]) -> list[int]:
        flushed.put(list(batch))
        return []

    batcher = Batcher(flush, SLOW, ManualTime().clock)
    batcher.hurry()
    threading.Thread(target=batcher.run, daemon=True).start()
    for item in range(3):
        batcher.put(item)
        assert flushed.get(timeout=PATIENCE_SECONDS) == [item]


def test_a_closed_batcher_ends_when_the_last_item_got_through() -> None:
    """Items that are refused in between are tried again first."""
    tries: list[list[int]] = []

    def flush(batch: list[int]) -> list[int]:
        tries.append(list(batch))
        return batch if len(tries) < 4 else []

    batcher = Batcher(flush, AT_ONCE, ManualTime().clock)
    batcher.put(1)
    batcher.close()
    batcher.run()

    assert tries == [[1]] * 4


def run_refusing(answers: list[list[int]], items: int, time: ManualTime) -> None:
    """Run a batcher whose batches get these answers; it is closed when one gets through whole."""
    left = iter(answers)

    def flush(_batch: list[int]) -> list[int]:
        again = next(left)
        if not again:
            batcher.close()
        return again

    batcher = Batcher(flush, AT_ONCE, time.clock)
    for item in range(items):
        batcher.put(item)
    batcher.run()


def test_the_back_off_grows_while_nothing_gets_through_and_only_then() -> None:
    """One item that gets through shows that the queue is there: the others are tried again soon."""
    time = ManualTime()
    run_refusing([[0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1], [0, 1], []], 3, time)

    assert time.slept == sorted(time.slept[:3]) + time.slept[3:]
    assert time.slept[2] == 4 * time.slept[0]
    assert time.slept[3] < time.slept[0]


def test_the_back_off_has_an_end() -> None:
    """A queue that was away for a day is tried three times a minute at least."""
    time = ManualTime(chance=0.999)
    run_refusing([*([[0]] * 100), []], 1, time)

    assert max(time.slept) <= 20


def test_the_back_off_of_a_worker_that_leaves_is_short() -> None:
    """A drain has a deadline: what may still get through is tried several times a second."""
    time = ManualTime(chance=0.999)
    answers = iter([*([[1]] * 30), []])
    batcher = Batcher(lambda _batch: next(answers), AT_ONCE, time.clock)
    batcher.put(1)
    batcher.close()
    batcher.run()

    assert max(time.slept) <= 0.2


def test_an_empty_batch_is_never_handed_over() -> None:
    """Waking it up to hurry is no item."""
    calls: list[list[int]] = []

    def flush(batch: list[int]) -> list[int]:
        calls.append(batch)
        return []

    batcher = Batcher(flush, AT_ONCE, ManualTime().clock)
    batcher.hurry()
    batcher.hurry()
    batcher.close()
    batcher.run()

    assert calls == []


def test_what_is_urgent_goes_in_the_next_batch_though_others_wait() -> None:
    """Items of one rank keep their order."""
    batches: list[list[int]] = []

    def flush(batch: list[int]) -> list[int]:
        batches.append(batch)
        return []

    batcher = Batcher(flush, AT_ONCE, ManualTime().clock, rank=lambda item: item // 100)
    for item in (*range(100, 118), 1, 0):
        batcher.put(item)
    batcher.close()
    batcher.run()

    assert batches == [[1, 0, *range(100, 108)], [*range(108, 118)]]
