"""Parts over a rate limit: they wait here and not in a lane, so that they take nobody's turn or thread."""

import threading
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, NamedTuple

import structlog

from config.settings import Settings
from worker.clock import Clock
from worker.conclusion import Deferral
from worker.job_in_hand import Offer, Part, shutdown_deferral
from worker.lane_queue import Entry, LaneQueue
from worker.lane_rules import HELD_SHARE
from worker.pulse import doing, move
from worker.rate_limits import Key, Limited, RateLimits

HELD_SECONDS_MAXIMUM: Final = 30.0
"""Who has to wait for longer waits on the queue: the place is worth more to others.

Another part of a job that waits here anyway takes no place of its own.
"""

RETURN_MINIMUM: Final = timedelta(seconds=1)
NOT_SENT: Final = Deferral(timedelta(seconds=30), "internal_error")
TURN_SECONDS_MAXIMUM: Final = 120.0

log = structlog.get_logger()


class PutOff(NamedTuple):
    """A part that cannot wait here: its message comes again then."""

    part: Part
    deferral: Deferral

    def give_back(self) -> None:
        """Tell its job."""
        self.part.owner.part_deferred(self.part, self.deferral)


@dataclass(frozen=True, slots=True, eq=False)
class LimitedPart:
    """A part in a line."""

    part: Part

    @property
    def priority(self) -> int:
        """How urgent it is: told to its lane, it changes nothing here."""
        return self.part.owner.priority

    @property
    def partner_id(self) -> str:
        """Whose turn it takes."""
        return self.part.owner.job.partner_id

    @property
    def job_key(self) -> Hashable:
        """The job in hand that it is of."""
        return self.part.owner


@dataclass(eq=False, slots=True)
class Line:
    """The parts that wait for one limit, partner after partner in turn; the next may go at `due`."""

    due: float
    queue: LaneQueue[LimitedPart] = field(default_factory=LaneQueue)


class LimitedParts:
    """Lets parts go to their lanes, by `send`, as the rate limits allow; thread-safe.

    A part is counted when it goes. One that is over a limit waits in that limit's line while there is room: a
    tenth of what may be in hand, where a job takes one place however many of its parts wait. What has no room
    or would wait for long is put off: its message comes again, one after the other. Where no limit is set,
    nothing is done here. `run` has a thread of its own.
    """

    def __init__(self, settings: Settings, clock: Clock, send: Offer) -> None:
        self._limits = RateLimits(settings.rate_limits)
        self._held_maximum = max(1, settings.worker.in_hand_max // HELD_SHARE)
        self._latest_return = settings.deferral.away_max_delay
        self._clock = clock
        self._send = send
        self._condition = threading.Condition()
        self._lines: dict[Key, Line] = {}
        self._jobs: Counter[Hashable] = Counter()
        self._put_off_for_others: list[PutOff] = []
        self._closed = False

    def apply(self, settings: Settings) -> None:
        """Go by these limits from now on."""
        with self._condition:
            self._limits.apply(settings.rate_limits)
            self._latest_return = settings.deferral.away_max_delay
            for line in self._lines.values():
                line.due = self._clock.monotonic()
            self._condition.notify_all()

    def offer(self, part: Part) -> Deferral | None:
        """Let the part go to its lane, or wait here; None when it was taken, else when to come again."""
        if not self._limits.are_set or part.refusal is not None:
            return self._send(part)
        with self._condition:
            now = self._clock.monotonic()
            limited = None if self._closed else self._limited(part, now)
            if limited is not None:
                return self._line_up_or_return(part, limited, now)
        return self._send_counted(part)

    def run(self) -> None:
        """Let go what may go, when it may, until stopped."""
        while self._wait():
            with doing("lets limited parts go", TURN_SECONDS_MAXIMUM):
                self.let_go()

    def let_go(self) -> None:
        """Let go what may go now."""
        while due := self._pop_due():
            for popped in due:
                put_off = popped if isinstance(popped, PutOff) else self._sent(popped)
                if put_off is not None:
                    put_off.give_back()
                move()

    def stop(self) -> None:
        """Give back at once what waits, and let `run` end. The lanes are stopped before."""
        with self._condition:
            self._closed = True
            left = [put_off.part for put_off in self._put_off_for_others]
            left += [entry.item.part for line in self._lines.values() for entry in line.queue]
            self._put_off_for_others.clear()
            self._lines.clear()
            self._jobs.clear()
            self._condition.notify_all()
        for part in left:
            part.owner.part_deferred(part, shutdown_deferral())

    def waiting(self) -> int:
        """How many parts wait here."""
        with self._condition:
            return sum(len(line.queue) for line in self._lines.values())

    def _sent(self, part: Part) -> PutOff | None:
        try:
            deferral = self._send_counted(part)
        except Exception:
            # as where it is taken in: a shard that is not configured, say, is no reason to end this thread
            log.exception("intake.failed", **part.owner.identity.log_names)
            deferral = NOT_SENT
        return None if deferral is None else PutOff(part, deferral)

    def _send_counted(self, part: Part) -> Deferral | None:
        deferral = self._send(part)
        if deferral is not None:
            with self._condition:
                self._limits.give_back(self._keys(part))
        return deferral

    def _limited(self, part: Part, now: float) -> Limited | None:
        """Count the part, unless a limit of its is reached or others wait for one already."""
        keys = self._keys(part)
        awaited = next((key for key in keys if key in self._lines), None)
        if awaited is not None:
            return Limited(awaited, self._lines[awaited].due - now)
        return self._limits.take(keys, now)

    def _keys(self, part: Part) -> tuple[Key, ...]:
        owner = part.owner
        return self._limits.keys_of(owner.held[0].source.name, owner.job.partner_id, part.request.customer_id)

    def _line_up_or_return(self, part: Part, limited: Limited, now: float) -> Deferral | None:
        """Let a part that is offered wait; when it is to come again where it cannot."""
        put_off = self._line_up(Entry(LimitedPart(part), now), limited, now)
        if put_off is not None and put_off.part is part:
            return put_off.deferral
        if put_off is not None:
            # Not given back from here: its job would offer its next part, which puts off another, and so on.
            self._put_off_for_others.append(put_off)
        return None

    def _line_up(self, entry: Entry[LimitedPart], limited: Limited, now: float) -> PutOff | None:
        """Let a part wait; what is put off then: it, or the newest of whoever has most where most wait."""
        line = self._lines.setdefault(limited.key, Line(now + limited.wait_seconds))
        waits_anyway = line.queue.has_job(entry.item.job_key)
        line.queue.append(entry)
        self._jobs[entry.item.job_key] += 1
        self._condition.notify()
        if self._last_waits_seconds(limited.key, line, now) > HELD_SECONDS_MAXIMUM and not waits_anyway:
            return self._put_off(limited.key, now)
        if len(self._jobs) > self._held_maximum:
            return self._put_off(max(self._lines, key=lambda key: len(self._lines[key].queue)), now)
        return None

    def _last_waits_seconds(self, key: Key, line: Line, now: float) -> float:
        """How long the last of the line has to wait, if no other limit keeps it for longer."""
        return line.due - now + (len(line.queue) - 1) * self._limits.share_seconds(key)

    def _put_off(self, key: Key, now: float) -> PutOff:
        line = self._lines[key]
        earliest = now + self._last_waits_seconds(key, line, now)
        latest = now + self._latest_return.total_seconds() * (0.5 + self._clock.random() / 2)
        moment = self._limits.put_off(key, earliest, latest)
        part = self._taken_out(line.queue.pop_newest()).part
        self._drop_if_empty(key)
        return PutOff(part, Deferral(max(timedelta(seconds=moment - now), RETURN_MINIMUM), "rate_limited"))

    def _pop_due(self) -> list[Part | PutOff]:
        """The first of each line that may go, counted, and whoever was put off for others."""
        with self._condition:
            popped: list[Part | PutOff] = [*self._put_off_for_others]
            self._put_off_for_others.clear()
            now = self._clock.monotonic()
            for key in [key for key, line in self._lines.items() if line.due <= now]:
                first = self._pop(key, now) if key in self._lines else None
                if first is not None:
                    popped.append(first)
            return popped

    def _pop(self, key: Key, now: float) -> Part | PutOff | None:
        """The next of the line, counted, if it may go; who meets another limit goes to that one's line."""
        line = self._lines[key]
        while line.queue:
            keys = self._keys(next(iter(line.queue)).item.part)
            limited = self._limits.take(keys, now) if keys else None
            if limited is not None and limited.key == key:
                line.due = now + limited.wait_seconds
                return None
            entry = line.queue.pop()
            self._taken_out(entry)
            if limited is None:
                entry.item.part.lane_wait_seconds += now - entry.since
                self._drop_if_empty(key)
                return entry.item.part
            put_off = self._line_up(entry, limited, now)
            if put_off is not None:
                self._drop_if_empty(key)
                return put_off
        self._drop_if_empty(key)
        return None

    def _taken_out(self, entry: Entry[LimitedPart]) -> LimitedPart:
        """Note that a part is in no line any more."""
        job_key = entry.item.job_key
        self._jobs[job_key] -= 1
        if not self._jobs[job_key]:
            del self._jobs[job_key]
        return entry.item

    def _drop_if_empty(self, key: Key) -> None:
        if key in self._lines and not self._lines[key].queue:
            del self._lines[key]

    def _wait(self) -> bool:
        """Wait until a part may go; False when stopped."""
        with self._condition:
            while not self._closed:
                if self._put_off_for_others:
                    return True
                due = min((line.due for line in self._lines.values()), default=None)
                seconds = None if due is None else due - self._clock.monotonic()
                if seconds is not None and seconds <= 0:
                    return True
                self._condition.wait(seconds)
            return False
