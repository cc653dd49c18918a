"""Pulses: what each thread does at the moment and how long it may take, noted by the thread itself."""

import math
import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

WAITS: Final = "waits"
NOBODY: Final[Mapping[str, str]] = MappingProxyType({})

Monotonic = Callable[[], float]


class Step(NamedTuple):
    """What a thread does since a moment, and the seconds that it may take; waiting may take for ever.

    `moved_at` is when it was last seen to make progress: from then on the limit counts. Moments are monotonic
    seconds; `names` are the job and the customer that it is for.
    """

    doing: str
    since: float
    moved_at: float
    limit_seconds: float = math.inf
    names: Mapping[str, str] = NOBODY

    def hangs(self, now: float) -> bool:
        """Whether it takes longer than it may."""
        return now > self.moved_at + self.limit_seconds


class Pulse:
    """The pulse of one thread: written by this thread alone, read by others without a lock."""

    def __init__(self, monotonic: Monotonic) -> None:
        self.monotonic = monotonic
        now = monotonic()
        self.step = Step(WAITS, now, now)


class Doing:
    """A `with` block that is a step of the thread's; at its end the step around it counts from there anew."""

    __slots__ = ("_around", "_pulse", "_step")

    def __init__(self, pulse: Pulse, step: Step) -> None:
        self._pulse = pulse
        self._around = pulse.step
        self._step = step

    def __enter__(self) -> None:
        self._pulse.step = self._step

    def __exit__(self, *_: object) -> None:
        now = self._pulse.monotonic()
        around = self._around
        since = now if around.doing == WAITS else around.since
        self._pulse.step = Step(around.doing, since, now, around.limit_seconds, around.names)


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.pulse = Pulse(time.monotonic)


_own: Final = _OfThread()


def bind(pulse: Pulse) -> None:
    """From now on this is the calling thread's pulse."""
    _own.pulse = pulse


def doing(what: str, limit_seconds: float, **names: str) -> Doing:
    """The calling thread does this inside the `with` block, for no longer than so many seconds.

    `names` are `job` and `customer`, where it is for one.
    """
    pulse = _own.pulse
    now = pulse.monotonic()
    return Doing(pulse, Step(what, now, now, limit_seconds, names))


def waiting(what: str) -> Doing:
    """The calling thread waits inside the `with` block, however long that takes."""
    return doing(what, math.inf)


def move() -> None:
    """The calling thread makes progress in what it does: its limit counts from now."""
    pulse = _own.pulse
    pulse.step = pulse.step._replace(moved_at=pulse.monotonic())
