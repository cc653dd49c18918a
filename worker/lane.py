"""A lane: the place where one shard's parts wait and run, with its breaker; and the server that it is on."""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Generic

import structlog

from shards.breaker import Breaker
from worker.lane_levels import LaneLevels
from worker.lane_queue import Entry, Item
from worker.occupancy import Occupancy

PROBE_PROMISE_SECONDS = 30.0
SHARDS_THAT_TELL_OF_THEIR_SERVER = 2

log = structlog.get_logger()


class Reply(Enum):
    """What a turn on a worker thread says about the shard; `GIVEN_UP`: it was ended without the thread."""

    ANSWERED = auto()
    UNANSWERED = auto()
    NOT_ASKED = auto()
    GIVEN_UP = auto()


@dataclass(eq=False, slots=True)
class Server:
    """A host with one or more shards. It is away when several of them are found away one after another.

    `missed` are the shards that were not answered since any shard of the server last was, but for those that
    were known to be away: a shard that is away for its own reasons says nothing about its neighbours.
    `probed_in_vain` is the shard that was asked last while the server was away.
    """

    name: str
    limit: int
    breaker: Breaker
    running: int = 0
    occupancy: Occupancy = field(default_factory=Occupancy)
    waiting: int = 0
    missed: set[str] = field(default_factory=set)
    probed_in_vain: str | None = None
    probe_promised_until: float = 0.0
    back_at: float = 0.0

    def resize(self, limit: int) -> None:
        """Let so many parts run on its shards at once from now on."""
        self.limit = limit
        self.breaker.resize(limit)

    def note_miss(self, shard: str, now: float) -> None:
        """A shard that was not known to be away did not answer."""
        self.missed.add(shard)
        if len(self.missed) >= SHARDS_THAT_TELL_OF_THEIR_SERVER and self.breaker.fail(now, probe=False):
            log.warning("server.away", server=self.name, shards=sorted(self.missed), waiting=self.waiting)

    def note_answer(self, now: float, *, probe: bool) -> None:
        """One of its shards answered."""
        self.missed.clear()
        tries, opened_at = self.breaker.tries, self.breaker.opened_at
        if self.breaker.succeed(probe=probe):
            self.back_at = now
            self.probed_in_vain = None
            away_ms = _milliseconds_since(opened_at, now)
            log.info("server.back", server=self.name, tries=tries, away_ms=away_ms)


@dataclass(eq=False, slots=True)
class Lane(Generic[Item]):
    """One shard's lane. While the shard or its server is away, only probes go through, one at a time.

    Not thread-safe: `Lanes` holds the lock. `back_at` is when the shard was last back, `slow_since` when the
    lane was found slow for work of a priority; both in monotonic seconds. `openings` counts how often the
    shard was found away.
    """

    shard: str
    limit: int
    server: Server
    breaker: Breaker
    queue: LaneLevels[Item] = field(default_factory=LaneLevels)
    running: int = 0
    occupancy: Occupancy = field(default_factory=Occupancy)
    probe_promised_until: float = 0.0
    back_at: float = 0.0
    slow_since: dict[int, float] = field(default_factory=dict)
    openings: int = 0

    def resize(self, limit: int) -> None:
        """Let so many parts run at once from now on."""
        self.limit = limit
        self.breaker.resize(limit)

    @property
    def is_away(self) -> bool:
        """Whether its shard or its server is away."""
        return self.breaker.is_open or self.server.breaker.is_open

    def ready(self, now: float) -> bool:
        """Whether an item may be taken now; the breaker of a server that is away decides for its shards."""
        if not self.server.breaker.permits(self.server.running, now):
            return False
        if self.server.breaker.is_open:
            return self.running < self.limit
        return self.breaker.permits(self.running, now)

    def lets_in(self, priority: int) -> bool:
        """Whether work of this priority leaves what shard and server keep for more urgent work."""
        server = self.server
        has_place = self.occupancy.lets_in(priority, self.limit)
        return has_place and server.occupancy.lets_in(priority, server.limit)

    def share_of_one(self, priority: int, idle_threads: int) -> int:
        """How many more a turn may take along; the others go to idle threads, as far as there are places."""
        turns = 1 + max(0, min(self.limit - self.running, idle_threads))
        return -(-(self.queue.count_of(priority) + 1) // turns) - 1

    def lacks_probe(self, now: float) -> bool:
        """Whether the next probe is due and nothing is there to be it, or nothing but what was in vain."""
        if self.server.breaker.is_open:
            if self.server.waiting == 0:
                return self.server.breaker.probe_is_due(now)
            # what waits may be of a shard that stays away alone: it must not be every probe
            return not self.queue and self.server.probed_in_vain not in {None, self.shard}
        return not self.queue and self.breaker.probe_is_due(now)

    def promise_probe(self, now: float) -> bool:
        """Whether the caller may prepare the probe that is lacking: one caller at a time may."""
        holder = self.server if self.server.breaker.is_open else self
        if not self.lacks_probe(now) or now < holder.probe_promised_until:
            return False
        holder.probe_promised_until = now + PROBE_PROMISE_SECONDS
        return True

    def seconds_to_probe(self, now: float) -> float | None:
        """How long until a thread that waits should look at this lane again; None: it will be woken."""
        server = self.server
        if server.breaker.is_open:
            seconds = server.breaker.seconds_to_probe(server.running, now)
            return seconds if self.running < self.limit else None
        if not server.breaker.permits(server.running, now):
            return None
        return self.breaker.seconds_to_probe(self.running, now)

    def away_seconds(self, now: float) -> float:
        """How long the shard or its server has been away."""
        moments = (self.breaker.opened_at, self.server.breaker.opened_at)
        return now - min((moment for moment in moments if moment is not None), default=now)

    def waited_seconds(self, priority: int, now: float) -> float:
        """How long the first entry of this priority or a more urgent one has waited for its turn.

        An absence of the shard is not counted.
        """
        since = self.queue.waiting_since(priority)
        return 0.0 if since is None else now - max(since, self.back_at, self.server.back_at)

    def start(self, priority: int) -> "Taken[Item]":
        """Take the next entry of this priority to be run."""
        entry = self.queue.pop(priority)
        self.server.running += 1
        self.running += 1
        self.server.occupancy.enter(priority)
        self.occupancy.enter(priority)
        self.probe_promised_until = self.server.probe_promised_until = 0.0
        return Taken(self, entry, self.breaker.begin(), self.server.breaker.begin())

    def end(self, taken: "Taken[Item]", reply: Reply, now: float) -> None:
        """What was taken has ended."""
        self.running -= 1
        self.server.running -= 1
        self.server.occupancy.leave(taken.item.priority)
        self.occupancy.leave(taken.item.priority)
        match reply:
            case Reply.ANSWERED:
                self._note_answer(taken, now)
            case Reply.UNANSWERED:
                self._note_miss(taken, now)
            case Reply.NOT_ASKED:
                self.breaker.withdraw(probe=taken.is_probe)
                self.server.breaker.withdraw(probe=taken.is_server_probe)

    def _note_answer(self, taken: "Taken[Item]", now: float) -> None:
        self.server.note_answer(now, probe=taken.is_server_probe)
        tries, opened_at = self.breaker.tries, self.breaker.opened_at
        if self.breaker.succeed(probe=taken.is_probe):
            self.back_at = now
            log.info("shard.back", shard=self.shard, tries=tries, away_ms=_milliseconds_since(opened_at, now))

    def _note_miss(self, taken: "Taken[Item]", now: float) -> None:
        if self.server.breaker.is_open:
            self.breaker.withdraw(probe=taken.is_probe)
            if taken.is_server_probe:
                self.server.probed_in_vain = self.shard
            self.server.breaker.fail(now, probe=taken.is_server_probe)
            return
        was_away = self.breaker.is_open
        if self.breaker.fail(now, probe=taken.is_probe):
            self.openings += 1
            log.warning("shard.away", shard=self.shard, waiting=len(self.queue) + 1)
        if not was_away:
            self.server.note_miss(self.shard, now)


@dataclass(frozen=True, slots=True)
class Taken(Generic[Item]):
    """An entry on its way through a worker thread, with its lane, and whether it is a probe."""

    lane: Lane[Item]
    entry: Entry[Item]
    is_probe: bool
    is_server_probe: bool

    @property
    def item(self) -> Item:
        """What is run."""
        return self.entry.item


def _milliseconds_since(moment: float | None, now: float) -> int:
    return 0 if moment is None else round((now - moment) * 1000)
