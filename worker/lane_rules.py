"""The lanes' rules as the configuration has them: limits of shards and servers, waits, what may be held."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from config import settings
from config.settings import Settings
from shards.engines import Shards
from worker.backoff import half_jitter

HELD_SHARE: Final = 10  # a tenth: where the room is what limits the others, they lose no more than that
RETURN_SHARE: Final = 1 / 3
SLOW_AFTER: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Berth:
    """Where a shard's lane lies: its server, and how many parts may run on the shard at once."""

    server: str
    limit: int


@dataclass(frozen=True, slots=True)
class LaneRules:
    """What `Lanes` go by.

    `held_maximum` is how much of the room lanes that are away may fill, and again those that are slow: where
    the first part has waited for longer than `slow_after`. None: no lane is ever called slow. `threads` is
    how many take from the lanes: of them, as of the places of a shard, some are kept for more urgent parts.
    """

    berth_of: Callable[[str], Berth]
    server_limit: Callable[[str], int]
    held_maximum: int
    base_delay: timedelta
    probe_maximum: timedelta
    return_minimum: timedelta
    return_maximum: timedelta
    slow_after: timedelta | None = None
    threads: int = 64

    def cool_down_seconds(self, tries: int, chance: float) -> float:
        """How long to wait before the next probe, after so many questions in a row that were in vain."""
        maximum = max(self.base_delay, self.probe_maximum)
        return half_jitter(tries, self.base_delay, maximum, chance).total_seconds()

    def return_delay(self, lasted_seconds: float, chance: float) -> timedelta:
        """How long what cannot be held stays on its queue: at most a third of how long it has lasted.

        So all is there soon after the end, and meanwhile little is received in vain.
        """
        least = min(self.return_minimum, self.return_maximum)
        ceiling = timedelta(seconds=max(0.0, lasted_seconds) * RETURN_SHARE)
        ceiling = min(max(ceiling, least), self.return_maximum)
        return max(half_jitter(1, ceiling, ceiling, chance), least)


def lane_rules(configured: Settings, shards: Shards, threads: int) -> LaneRules:
    """The rules for this many worker threads; raises `UnknownShard` when asked for the berth of one."""
    shards_on = Counter(shards.get(name).server for name in shards.names)
    default_limit = max(1, threads // 2) if len(shards_on) > 1 else threads

    def server_limit(name: str) -> int:
        section = configured.servers.get(name, settings.Server())
        return min(section.limit or default_limit, section.connections)

    def berth_of(name: str) -> Berth:
        shard = shards.get(name)
        # A shard that hangs must leave something of its server to the shards beside it.
        left_for_others = 1 if shards_on[shard.server] > 1 else 0
        return Berth(shard.server, min(shard.limit, max(1, server_limit(shard.server) - left_for_others)))

    return LaneRules(
        berth_of=berth_of,
        server_limit=server_limit,
        held_maximum=max(1, configured.worker.in_hand_max // HELD_SHARE),
        base_delay=configured.deferral.away_base_delay,
        probe_maximum=configured.deferral.probe_max_delay,
        return_minimum=configured.deferral.busy_delay,
        return_maximum=configured.deferral.away_max_delay,
        slow_after=SLOW_AFTER if len(shards.names) > 1 else None,
        threads=threads,
    )
