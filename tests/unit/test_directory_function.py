"""A directory's function that is slow: it has a time to answer in, then it is away as one that fails."""

import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from types import ModuleType

import pytest

from shards.availability import Availability
from shards.cached_directory import CachedDirectory
from shards.directory import DirectoryUnavailable, Placement, PlacementState
from shards.directory_function import PATIENCE_SECONDS, THREAD_NAME, FunctionSource
from shards.patient_function import THREADS_MAXIMUM
from tests.support.fakes import ManualTime
from tests.support.sources import NotedEvents
from tests.support.world import wait_until
from worker.lane_keeper import TURN_SECONDS_MAXIMUM
from worker.preparer import STILL_SECONDS_MAXIMUM

HERE = Placement("c-1", "eu1", None, PlacementState.ACTIVE, 1)
MINUTE_SECONDS = 60.0


class SlowFunction:
    """The function of a module `slow_map`; calls for customers in `slow` come back when `go_on` is set."""

    def __init__(self) -> None:
        self.slow: set[str] = set()
        self.go_on = threading.Event()
        self.threads: list[str] = []

    def find(self, customer_ids: list[str]) -> dict[str, str]:
        """Everybody lives on eu1."""
        self.threads.append(threading.current_thread().name)
        if self.slow.intersection(customer_ids):
            assert self.go_on.wait(MINUTE_SECONDS)
        return dict.fromkeys(customer_ids, "eu1")


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowFunction]:
    slow, module = SlowFunction(), ModuleType("slow_map")
    monkeypatch.setattr(module, "find", slow.find, raising=False)
    monkeypatch.setitem(sys.modules, "slow_map", module)
    yield slow
    slow.go_on.set()


def source_of(patience_seconds: float) -> FunctionSource:
    return FunctionSource("slow_map:find", ["eu1"], patience_seconds)


def test_one_that_does_not_come_back_in_time_is_away(slow: SlowFunction) -> None:
    """Only who asked waits, and no longer than the limit; the next question is asked beside it."""
    source = source_of(patience_seconds=2)
    slow.slow = {"c-1"}
    with pytest.raises(DirectoryUnavailable, match=r"slow_map:find did not come back within 2 seconds\."):
        source(["c-1"])
    assert source(["c-2"]) == {"c-2": replace(HERE, customer_id="c-2")}
    assert set(slow.threads) == {THREAD_NAME}
    source.close()


def test_it_is_not_called_while_too_many_calls_hang_and_again_when_one_comes_back(slow: SlowFunction) -> None:
    """A directory that hangs for a day does not fill the process with threads."""
    source = source_of(patience_seconds=0.01)
    slow.slow = {"c-1"}
    for _ in range(THREADS_MAXIMUM):
        with pytest.raises(DirectoryUnavailable, match="did not come back"):
            source(["c-1"])
    with pytest.raises(DirectoryUnavailable, match="is not called any more until one of 8 calls"):
        source(["c-2"])
    wait_until(lambda: len(slow.threads) == THREADS_MAXIMUM, "the calls")

    slow.go_on.set()
    wait_until(lambda: answers(source), "an answer")
    source.close()


def answers(source: FunctionSource) -> bool:
    try:
        return source(["c-2"]).keys() == {"c-2"}
    except DirectoryUnavailable:
        return False


def test_it_is_called_on_one_thread_as_long_as_it_comes_back(slow: SlowFunction) -> None:
    """A function may keep a connection for each thread; and no thread stays behind."""
    before = set(threading.enumerate())
    source = source_of(patience_seconds=MINUTE_SECONDS)
    for _ in range(20):
        source(["c-1"])
    (thread,) = set(threading.enumerate()) - before
    source.close()
    thread.join(MINUTE_SECONDS)

    assert not thread.is_alive()
    assert len(slow.threads) == 20


def test_what_is_remembered_is_used_while_it_hangs(slow: SlowFunction) -> None:
    """And who is not remembered waits as for any directory that is away; the log says so once."""
    time, noted = ManualTime(), NotedEvents()
    source = source_of(patience_seconds=2)
    availability = Availability(noted, time.clock.monotonic)
    lifetime, stale = timedelta(seconds=5), timedelta(hours=1)
    directory = CachedDirectory(source, lifetime, stale, availability, noted, time.clock.monotonic)
    assert directory.find(["c-1"]) == {"c-1": HERE}
    slow.slow = {"c-1", "c-2"}
    time.pass_time(5)

    assert directory.find(["c-1"]) == {"c-1": HERE}
    with pytest.raises(DirectoryUnavailable, match="did not come back"):
        directory.find(["c-2"])
    assert [event.partition(":")[0] for event in noted.events] == ["away"]
    source.close()


@pytest.mark.parametrize("error", [SystemExit("leave"), TimeoutError("slow")])
def test_whatever_it_raises_is_an_absence(slow: SlowFunction, error: BaseException) -> None:
    """Also what would end a thread, and what means a time-out elsewhere."""

    def fail(_customer_ids: list[str]) -> None:
        raise error

    vars(sys.modules["slow_map"])["find"] = fail
    source = source_of(patience_seconds=MINUTE_SECONDS)
    with pytest.raises(DirectoryUnavailable, match=f"raised {type(error).__name__}"):
        source(["c-1"])
    assert slow.threads == []
    source.close()


def test_its_time_is_short_beside_that_of_the_threads_that_ask() -> None:
    """A process is not ended for one slow look-up, nor for one that is slow in each turn."""
    assert min(TURN_SECONDS_MAXIMUM, STILL_SECONDS_MAXIMUM) > 2 * PATIENCE_SECONDS
