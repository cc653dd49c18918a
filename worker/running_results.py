"""Running results: while a job takes long, how far it is and which customers wait, for the front door."""

import threading
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from typing import Final
from weakref import WeakKeyDictionary

import structlog

from config.result import Progress
from worker.answers import running
from worker.backoff import half_jitter
from worker.clock import Clock
from worker.conclusion import Conclusion, Return
from worker.envelope import Identity
from worker.job_in_hand import JobInHand, Standing
from worker.ordering import running_result
from worker.pulse import doing
from worker.transports.base import Message, Transport, TransportError

FAILED_MAXIMUM: Final = timedelta(minutes=1)
LEFT_MAXIMUM: Final = 1000
TURN_SECONDS_MAXIMUM: Final = 300.0

Jobs = Callable[[], Iterable[JobInHand]]
"""The jobs in hand."""

Write = Callable[[str, Identity], Message]
"""Makes the message of a result that any queue takes as it is."""

Away = Callable[[], Collection[str]]
"""The shards that are away."""

log = structlog.get_logger()


class RunningResults:
    """Sends a `running` result of each job that is in hand for longer than `interval`; has its own thread.

    A job is told of once in an interval at most, and only when something changed. A job that goes back to its
    queue because shards are away is told of at its first, second, fourth, eighth ... delivery. Nothing waits
    for these results and none is sent twice: the next one says more, and the final one says it all.
    """

    def __init__(self, queue: Transport, write: Write, interval: timedelta, clock: Clock) -> None:
        self._queue = queue
        self._write = write
        self._interval = interval
        self._clock = clock
        self._told: WeakKeyDictionary[JobInHand, Standing] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._left: list[Message] = []
        self._failures = 0

    def run(self, jobs: Jobs, away: Away, stop: threading.Event) -> None:
        """Tell of the jobs in hand again and again until stopped; see `tell`."""
        while not stop.wait(self._pause_seconds()):
            with doing("tells of running jobs", TURN_SECONDS_MAXIMUM):
                self.tell(jobs, away)

    def tell(self, jobs: Jobs, away: Away) -> None:
        """Send what there is to tell now of these jobs; what the queue does not take is dropped."""
        messages = [*self._take_left(), *self._news(jobs(), away)]
        if not messages:
            return
        try:
            self._queue.send(messages)
        except TransportError as error:
            self._failures += 1
            log.warning("settle.failed", queue=self._queue.name, count=len(messages), error=str(error))
        else:
            self._failures = 0

    def note_conclusion(self, job: JobInHand, conclusion: Conclusion) -> None:
        """A job left the process; if it went back because of shards that are away, that is told next time."""
        if not isinstance(conclusion, Return) or not _is_power_of_two(job.held[0].delivery.receive_count):
            return
        standing = job.standing(())
        if standing.waiting:
            message = self._message(job, standing)
            with self._lock:
                # while the queue is away this must not grow without end; what is dropped is told again later
                self._left = [*self._left[1 - LEFT_MAXIMUM :], message]

    def _pause_seconds(self) -> float:
        if not self._failures:
            return self._interval.total_seconds()
        longest = max(FAILED_MAXIMUM, self._interval)
        delay = half_jitter(self._failures + 1, self._interval, longest, self._clock.random())
        return delay.total_seconds()

    def _take_left(self) -> list[Message]:
        with self._lock:
            left, self._left = self._left, []
        return left

    def _news(self, jobs: Iterable[JobInHand], away: Away) -> list[Message]:
        since = self._clock.monotonic() - self._interval.total_seconds()
        long = [job for job in jobs if job.held[0].started_at <= since and not job.drops()]
        shards = frozenset(away()) if long else frozenset()
        standings = [(job, job.standing(shards)) for job in long]
        changed = [(job, standing) for job, standing in standings if self._told.get(job) != standing]
        self._told.update(changed)
        return [self._message(job, standing) for job, standing in changed]

    def _message(self, job: JobInHand, standing: Standing) -> Message:
        progress = Progress(done=standing.done, total=standing.total)
        body = running(job.identity, progress, standing.waiting, job.held[0].received_at)
        message = self._write(body, job.identity)
        return running_result(self._queue, message, job.identity, standing.done, standing.waiting)


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0
