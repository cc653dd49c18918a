"""The lanes' rules: what shards and servers may run, by configuration."""

from typing import Any

import pytest

from config.settings import Settings
from shards.engines import Shards
from worker.lane_rules import Berth, LaneRules, lane_rules

ONE = {"a": "db1", "b": "db1"}
TWO = {"a": "db1", "b": "db1", "c": "db2"}


def rules(homes: dict[str, str], threads: int = 8, **sections: Any) -> LaneRules:
    """The rules for PostgreSQL shards on these servers."""
    shards = {
        name: {"url": "postgresql+psycopg://worker@127.0.0.1/x", "server": server}
        for name, server in homes.items()
    }
    queues = {
        "request": ["sql:///q.db?queue=a"],
        "response": "sql:///q.db?queue=b",
        "failure": "sql:///q.db?queue=c",
    }
    settings = Settings.model_validate({"queues": queues, "shards": shards, **sections})
    return lane_rules(settings, Shards(settings.shards), threads)


@pytest.mark.parametrize(("homes", "threads", "limit"), [(ONE, 8, 8), (TWO, 8, 4), (TWO, 3, 1), (TWO, 1, 1)])
def test_a_server_has_half_of_the_threads_where_there_is_another(
    homes: dict[str, str], threads: int, limit: int
) -> None:
    """Whatever happens to it, the other half is free; alone, it has them all."""
    assert rules(homes, threads).server_limit("db1") == limit


@pytest.mark.parametrize(
    ("section", "limit"), [({"limit": 6}, 6), ({"connections": 2}, 2), ({"limit": 6, "connections": 5}, 5)]
)
def test_a_server_s_own_settings_win(section: dict[str, int], limit: int) -> None:
    """And it never runs more parts than it has connections."""
    assert rules(TWO, servers={"db1": section}).server_limit("db1") == limit


def test_a_shard_leaves_something_of_its_server_to_those_beside_it() -> None:
    """One that hangs does not stop them; a shard that is alone there has all that it may."""
    two = rules(TWO)

    assert [two.berth_of(name) for name in "abc"] == [Berth("db1", 3), Berth("db1", 3), Berth("db2", 4)]
    assert rules(TWO, threads=1).berth_of("a").limit == 1
    assert rules(ONE).berth_of("a").limit == 4


def test_only_where_there_are_several_shards_can_one_be_slow() -> None:
    """There is nobody to leave the room to."""
    assert rules({"a": "db1"}).slow_after is None
    assert rules(ONE).slow_after is not None


def test_a_tenth_of_the_room_is_held() -> None:
    """At least one message, however small the room is."""
    assert [rules(ONE, worker={"in_hand_max": room}).held_maximum for room in (1, 100)] == [1, 10]


def test_the_cool_down_grows_to_the_longest_pause_between_probes() -> None:
    """Not to that of messages; never beyond, and never below the base delay."""
    waits = {"away_base_delay": "1s", "probe_max_delay": "15s"}
    short = {"away_base_delay": "20s", "probe_max_delay": "15s"}

    assert [rules(ONE, deferral=waits).cool_down_seconds(tries, 0.5) for tries in (1, 2, 3, 10)] == [
        0.75,
        1.5,
        3.0,
        11.25,
    ]
    assert rules(ONE, deferral=short).cool_down_seconds(9, 0.0) == 10
