"""Limits that change while parts run: what runs goes on, what starts obeys, threads come and go."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from config import settings
from shards.breaker import Breaker
from shards.connection_budget import AllInUse, ServerConnections, Share
from shards.directory import PlacementUnusable, StaticDirectory
from shards.engines import BadShardUrl, Shards, UnknownShard
from shards.grants import Grants
from shards.open_directory import open_directory
from tests.support.fakes import ManualTime
from tests.support.jobs import settings_in
from tests.support.lanes import PATIENCE_SECONDS, end, fill, lanes_of, rules_of, take
from tests.support.sources import NotedEvents

URL = "postgresql+psycopg://worker@db1/{name}"


def section(name: str, limit: int | None = None) -> settings.Shard:
    return settings.Shard(url=URL.format(name=name), limit=limit)


class TestLanes:
    def test_a_smaller_limit_holds_when_what_runs_beyond_it_has_ended(self) -> None:
        """Nothing is broken off; the next one starts when there is room by the new limit."""
        lanes = lanes_of(limit=3)
        fill(lanes, "eu1", *"abcd")
        running = [take(lanes) for _ in range(3)]
        lanes.apply(rules_of(limit=1))
        for taken in running[:2]:
            end(lanes, taken)
            fill(lanes, "eu2", f"instead of {taken.item}")
            other = take(lanes)
            assert other.item.startswith("instead")
            end(lanes, other)
        end(lanes, running[2])

        assert take(lanes).item == "d"

    def test_a_larger_limit_lets_in_more_after_each_answer(self) -> None:
        """As many as before at first, then twice as many: a mistake in the file is no flood."""
        lanes = lanes_of(limit=1)
        fill(lanes, "eu1", *"abcdefg")
        first = take(lanes)
        lanes.apply(rules_of(limit=4))
        end(lanes, first)
        pair = [take(lanes), take(lanes)]
        for taken in pair:
            end(lanes, taken)

        assert [take(lanes).item for _ in range(4)] == ["d", "e", "f", "g"]

    def test_a_server_s_limit_holds_for_all_its_shards(self) -> None:
        """Also for lanes that were there before."""
        lanes = lanes_of(limit=4, server_limit=4)
        fill(lanes, "db1.a", "a", "b")
        running = [take(lanes), take(lanes)]
        lanes.apply(rules_of(limit=4, server_limit=1))
        fill(lanes, "db1.b", "c")
        fill(lanes, "db2.a", "other")
        assert take(lanes).item == "other"
        for taken in running:
            end(lanes, taken)

        assert take(lanes).item == "c"

    def test_so_many_threads_end_as_are_dismissed(self) -> None:
        """Those that wait at once, and no more of them; the others go on to take what comes."""
        lanes = lanes_of(limit=10)
        got: list[str | None] = []

        def work() -> None:
            taken = lanes.take()
            got.append(None if taken is None else str(taken.item))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        lanes.dismiss(3)
        fill(lanes, "eu1", "a")
        for thread in threads:
            thread.join(PATIENCE_SECONDS)

        assert sorted(got, key=str) == [None, None, None, "a"]


class TestBreaker:
    def test_it_stays_open_when_it_is_resized(self) -> None:
        """A shard that is away is no nearer by a larger limit: one probe at a time, then few at first."""
        breaker = Breaker(2, lambda _: 10.0)
        for _ in range(2):
            breaker.fail(0.0, probe=False)
        breaker.resize(8)
        assert breaker.is_open
        breaker.begin()
        breaker.succeed(probe=True)

        assert breaker.permits(0, 20.0)
        assert not breaker.permits(1, 20.0)


class TestConnections:
    def test_a_smaller_budget_lets_nothing_new_open(self) -> None:
        """What is in use is not taken away."""
        server = ServerConnections(4)
        share = Share(4)
        for _ in range(3):
            server.take(share, 0)
        server.resize(2)
        with pytest.raises(Exception, match="in use"):
            server.take(share, 0)
        for _ in range(2):
            server.give_up(share)

        assert server.take(share, 0) is None

    def test_who_waits_for_a_connection_gets_it_when_the_budget_grows(self) -> None:
        """At once, not when its patience ends."""
        server = ServerConnections(1)
        first, second = Share(1), Share(1)
        server.take(first, 0)
        waiting = threading.Thread(target=lambda: server.take(second, PATIENCE_SECONDS))
        waiting.start()
        server.resize(2)
        waiting.join(PATIENCE_SECONDS / 2)

        assert not waiting.is_alive()

    def test_limits_of_shards_and_servers_change_together(self) -> None:
        """A shard's never beyond its server's; each change counts from what the file says."""
        shards = Shards({"a": section("a", 8), "b": section("b")})
        assert (shards.get("a").limit, shards.get("b").limit) == (8, 4)
        servers = {"db1:5432": settings.Server(connections=3)}
        shards.apply({"a": section("a", 8), "b": section("b", 2)}, servers)
        assert (shards.get("a").limit, shards.get("b").limit) == (3, 2)
        shards.apply({"a": section("a", 8), "b": section("b")}, {})

        assert (shards.get("a").limit, shards.get("b").limit) == (8, 4)

    def test_a_shard_s_connections_follow_its_limit(self, tmp_path: Path) -> None:
        """Also when its engine was made before."""
        path = settings.Shard(url=f"sqlite:///{tmp_path}/a.db", limit=1)
        shards = Shards({"a": path})
        shard = shards.get("a")
        shard.create_database()
        with shard.connect():
            shards.apply({"a": path.model_copy(update={"limit": 2})}, {})
            with shard.connect():
                shards.apply({"a": path}, {})
        with shard.connect() as first, pytest.raises(AllInUse), shard.connect() as second:
            assert first.closed == second.closed
        shards.close()

    def test_a_new_shard_counts_in_its_server_s_budget(self) -> None:
        """It is there at once; one whose URL cannot be used changes nothing at all."""
        shards = Shards({"a": section("a", 2)})
        shards.apply({"a": section("a", 2), "b": section("b", 2)}, {})
        assert shards.get("b").server == shards.get("a").server
        with pytest.raises(BadShardUrl):
            shards.apply({"a": section("a", 1), "b": section("b"), "c": settings.Shard(url="mysql")}, {})

        assert shards.get("a").limit == 2
        with pytest.raises(UnknownShard):
            shards.get("c")


def everybody_on_eu2(customer_ids: list[str]) -> dict[str, str]:
    """A directory's function."""
    return dict.fromkeys(customer_ids, "eu2")


class TestDirectory:
    def test_a_function_may_place_customers_on_a_new_shard(self, tmp_path: Path) -> None:
        """From when the file has it; before, its word could not be used."""
        before = settings_in(tmp_path)
        function = settings.Directory(
            function=f"{__name__}:everybody_on_eu2", cache=timedelta(milliseconds=1)
        )
        time = ManualTime()
        configured = before.model_copy(update={"directory": function, "shards": {"eu1": section("eu1")}})
        opened = open_directory(configured, NotedEvents(), time.clock.monotonic, time.clock.monotonic)
        with pytest.raises(PlacementUnusable):
            opened.directory.find(["c-1"])
        opened.apply(configured.model_copy(update={"shards": {"eu2": section("eu2")}}))
        time.pass_time(1)

        assert opened.directory.find(["c-1"])["c-1"].shard == "eu2"

    def test_customers_and_partners_are_those_of_the_new_file(self) -> None:
        """From the next question on; who is not in it any more is unknown."""
        directory = StaticDirectory(settings.Directory.model_validate({"customers": {"c-1": "eu1"}}))
        directory.apply(settings.Directory.model_validate({"customers": {"c-2": "eu2"}}))
        assert list(directory.find(["c-1", "c-2"])) == ["c-2"]
        grants = Grants({"acme": settings.Partner(customers=["*"], types=["*"])})
        grants.apply({"other": settings.Partner(customers=["*"], types=["*"])})

        assert grants.refusal("acme", "orders.insert", ["c-1"]) is not None
        assert grants.refusal("other", "orders.insert", ["c-1"]) is None
