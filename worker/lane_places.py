"""Where lanes and servers are made: each when its shard is first asked for, as the rules say."""

from typing import Generic

from shards.breaker import Breaker
from worker.clock import Clock
from worker.lane import Lane, Server
from worker.lane_queue import Item
from worker.lane_rules import LaneRules


class LanePlaces(Generic[Item]):
    """The lanes by shard, and their servers by name. Not thread-safe: `Lanes` holds the lock."""

    def __init__(self, rules: LaneRules, clock: Clock) -> None:
        self.lanes: dict[str, Lane[Item]] = {}
        self.servers: dict[str, Server] = {}
        self._rules = rules
        self._clock = clock

    def apply(self, rules: LaneRules) -> None:
        """Go by these rules from now on."""
        self._rules = rules
        for server in self.servers.values():
            server.resize(rules.server_limit(server.name))
        for lane in self.lanes.values():
            lane.resize(rules.berth_of(lane.shard).limit)

    def lane_of(self, shard: str) -> Lane[Item]:
        """The shard's lane; raises what the rules raise for a shard that is not configured."""
        lane = self.lanes.get(shard)
        if lane is None:
            berth = self._rules.berth_of(shard)
            server = self._server(berth.server)
            lane = self.lanes[shard] = Lane(shard, berth.limit, server, self._breaker(berth.limit))
        return lane

    def _server(self, name: str) -> Server:
        server = self.servers.get(name)
        if server is None:
            limit = self._rules.server_limit(name)
            server = self.servers[name] = Server(name, limit, self._breaker(limit, threshold=1))
        return server

    def _breaker(self, limit: int, **threshold: int) -> Breaker:
        def cool_down(tries: int) -> float:
            return self._rules.cool_down_seconds(tries, self._clock.random())

        return Breaker(limit, cool_down, **threshold)
