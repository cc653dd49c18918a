"""Lanes with the settings that most tests of them want, and the next item of them."""

from datetime import timedelta

from tests.support.fakes import ManualTime
from worker.clock import Clock
from worker.lanes import Lanes, Taken

SECOND = timedelta(seconds=1)
DELAYS = (SECOND, timedelta(minutes=1))
PATIENCE_SECONDS = 10.0


def lanes_of(
    time: ManualTime | None = None,
    limit: int = 1,
    held: int = 100,
    delays: tuple[timedelta, timedelta] = DELAYS,
) -> Lanes[str]:
    clock = time.clock if time is not None else Clock()
    return Lanes(lambda _shard: limit, held, delays, clock)


def take(lanes: Lanes[str]) -> Taken[str]:
    """The next item; there must be one, or the test hangs."""
    taken = lanes.take()
    assert taken is not None
    return taken
