"""Watches over the threads: reports one that hangs, with its stack, and tells what all of them are doing."""

import sys
import threading
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping
from types import FrameType
from typing import Any, Final

import structlog

from worker.log_lines import stack_text
from worker.pulse import Monotonic, Pulse, Step

FRAMES_OF_HANGING: Final = 24
FRAMES_OF_EACH: Final = 6

Frames = Callable[[], Mapping[int, FrameType]]
"""What each thread is in the middle of, by the thread's number."""

log = structlog.get_logger()


def current_frames() -> Mapping[int, FrameType]:
    """The frames of this process's threads."""
    return sys._current_frames()  # noqa: SLF001 - documented for debuggers, and there is no other way


class Watch:
    """Judges by their pulses whether the process's threads move; not thread-safe, never waits for one.

    `pulses` gives each thread that runs with its pulse. Threads that were given up, whose numbers `given_up`
    tells, are left out: they hang, and nothing waits for them.
    """

    def __init__(
        self,
        pulses: Callable[[], Iterable[tuple[threading.Thread, Pulse]]],
        monotonic: Monotonic,
        given_up: Callable[[], Collection[int]] = frozenset,
        frames: Frames = current_frames,
    ) -> None:
        self._pulses = pulses
        self._monotonic = monotonic
        self._given_up = given_up
        self._frames = frames
        self._hanging: dict[threading.Thread, Step] = {}
        self._looked_at = monotonic()

    def all_move(self) -> bool:
        """Whether no thread takes longer for its step than it may; one that does is reported, once."""
        now = self._monotonic()
        given_up = self._given_up()
        steps = {thread: pulse.step for thread, pulse in self._pulses() if thread.ident not in given_up}
        hanging = {thread: step for thread, step in steps.items() if step.hangs(now)}
        for thread, step in hanging.items():
            if not _is_same(self._hanging.get(thread), step):
                self._report(thread, step, now)
        for thread in self._hanging.keys() - hanging.keys():
            log.info("worker.thread_moves", thread=thread.name)
        self._hanging = hanging
        self._looked_at = now
        return not hanging

    def moved_within(self, seconds: float) -> bool:
        """Whether all threads moved at the last look, and that is not longer ago; any thread may ask.

        Nobody looks any more when the main thread itself hangs.
        """
        return self._monotonic() - self._looked_at <= seconds and not self._hanging

    @property
    def hanging(self) -> list[str]:
        """The names of the threads that hung at the last look."""
        return sorted(thread.name for thread in self._hanging)

    def report_given_up(self, number: int) -> None:
        """Write a line about the thread of this number, which nothing waits for any more."""
        now = self._monotonic()
        for thread, pulse in self._pulses():
            if thread.ident == number:
                stack = _stack(self._frames(), thread, FRAMES_OF_HANGING)
                fields = _fields(pulse.step, now)
                log.error("worker.thread_given_up", thread=thread.name, **fields, stack=stack)

    def log_all(self) -> None:
        """Write a line about each thread of the process, those of libraries and handlers too."""
        now = self._monotonic()
        steps = {thread: pulse.step for thread, pulse in self._pulses()}
        frames = self._frames()
        for thread in threading.enumerate():
            step = steps.get(thread)
            fields = {} if step is None else _fields(step, now)
            stack = _stack(frames, thread, FRAMES_OF_EACH)
            log.info("worker.thread", thread=thread.name, **fields, stack=stack)

    def _report(self, thread: threading.Thread, step: Step, now: float) -> None:
        log.error(
            "worker.thread_hangs",
            thread=thread.name,
            **_fields(step, now),
            limit_ms=round(step.limit_seconds * 1000),
            stack=_stack(self._frames(), thread, FRAMES_OF_HANGING),
        )


def _is_same(known: Step | None, step: Step) -> bool:
    return known is not None and (known.doing, known.since) == (step.doing, step.since)


def _fields(step: Step, now: float) -> dict[str, Any]:
    return {"doing": step.doing, "lasting_ms": round((now - step.since) * 1000), **step.names}


def _stack(frames: Mapping[int, FrameType], thread: threading.Thread, maximum: int) -> str:
    frame = None if thread.ident is None else frames.get(thread.ident)
    outermost_first = reversed(list(traceback.walk_stack(frame))) if frame is not None else ()
    return stack_text(outermost_first, maximum)
