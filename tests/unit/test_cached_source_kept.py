"""The cache before a catalog: what it forgets, and how much it keeps."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from shards import cached_source
from tests.support.cached_world import World

THREADS = 16


@pytest.fixture
def world() -> World:
    return World()


class TestForgetting:
    def test_what_is_forgotten_is_asked_for_at_once(self, world: World) -> None:
        """A shard said that the answer was wrong."""
        world.find("a", "b")
        world.source.values = {"a": "2", "b": "2"}
        world.cache.forget(["a", "never seen"])
        assert world.find("a", "b") == {"a": "2", "b": "1"}
        assert world.questions() == [["a", "b"], ["a"]]

    def test_the_answer_to_a_question_from_before_is_not_used(self, world: World) -> None:
        """What was on its way when it was found wrong may be as wrong."""
        world.source.gate.clear()
        with ThreadPoolExecutor(1) as pool:
            early = pool.submit(world.find, "b")
            assert world.source.reached.wait(60)
            world.cache.forget(["b"])
            world.source.values["b"] = "2"
            world.source.gate.set()
            assert early.result(60) == {"b": "2"}
        assert world.questions() == [["b"], ["b"]]

    def test_what_is_forgotten_serves_while_the_source_is_away(self, world: World) -> None:
        """The shard refuses it if it is wrong still."""
        world.find("a")
        world.source.away = "it is gone"
        world.cache.forget(["a"])
        assert world.cache.find(["a"]) == ({"a": "1"}, True)


class TestSize:
    def test_the_oldest_answers_are_dropped(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A flood of made-up customers cannot fill the memory."""
        monkeypatch.setattr(cached_source, "ENTRIES_MAXIMUM", 3)
        for key in ("a", "x", "y", "z"):
            world.find(key)
        assert list(world.cache._entries) == ["x", "y", "z"]
        assert set(world.cache._used) <= set(world.cache._entries)

    def test_a_job_of_more_customers_than_are_remembered_gets_its_answer(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is answered whole, and the next answer drops it."""
        monkeypatch.setattr(cached_source, "ENTRIES_MAXIMUM", 2)
        assert world.find("a", "b", "c") == {"a": "1", "b": "1", "c": "1"}
        world.find("d")
        assert list(world.cache._entries) == ["c", "d"]
