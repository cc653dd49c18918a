"""The cache before a catalog: how old an answer may be, who asks, and what holds while the source is away."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from shards import cached_source
from shards.directory import DirectoryUnavailable
from tests.support.cached_world import World

THREADS = 16


@pytest.fixture
def world() -> World:
    return World()


class TestFresh:
    def test_an_answer_is_used_for_its_lifetime(self, world: World) -> None:
        """A change is seen when the answer's time is over, counted from when it was asked for."""
        assert world.find("a") == {"a": "1"}
        world.source.values["a"] = "2"
        world.time.pass_time(4.9)
        assert world.find("a") == {"a": "1"}
        world.time.pass_time(0.1)
        assert world.find("a") == {"a": "2"}
        assert world.questions() == [["a"], ["a"]]

    def test_the_time_that_a_question_takes_counts(self, world: World) -> None:
        """What was read a second before the answer came is a second old then."""
        answer = world.source.__call__

        def slowly(keys: list[str]) -> object:
            found = answer(keys)
            world.time.pass_time(3)
            return found

        world.cache._load = slowly  # type: ignore[assignment]
        world.find("a")
        world.time.pass_time(2)
        world.find("a")
        assert world.questions() == [["a"], ["a"]]

    def test_an_unknown_key_is_asked_for_again_after_a_second(self, world: World) -> None:
        """Who was just made is found soon."""
        assert world.find("new") == {}
        world.source.values["new"] = "1"
        world.time.pass_time(0.9)
        assert world.find("new") == {}
        world.time.pass_time(0.1)
        assert world.find("new") == {"new": "1"}

    def test_no_key_asks_nothing(self, world: World) -> None:
        """A job whose customers are all known by now costs nothing."""
        assert world.find() == {}
        assert world.questions() == []

    def test_an_answer_that_lives_for_no_time_is_given_once(self) -> None:
        """However short a lifetime is, who waited for an answer gets it."""
        world = World(lifetime=1e-9)
        world.time.seconds = 1.0
        assert [world.find("a"), world.find("a")] == [{"a": "1"}] * 2


class TestQuestions:
    def test_only_what_is_not_remembered_is_asked_for(self, world: World) -> None:
        """The rest of a job's customers may be fresh."""
        world.find("a")
        world.find("a", "b", "c")
        assert world.questions() == [["a"], ["b", "c"]]

    def test_busy_keys_share_their_questions(self, world: World) -> None:
        """However the answers' times were spread at first, a lifetime later one question brings them all."""
        keys = [f"k-{number}" for number in range(100)]
        world.source.values = dict.fromkeys(keys, "1")
        for key in keys:
            world.find(key)
            world.time.pass_time(0.05)
        world.questions()
        for _ in range(60 * 4):
            world.time.pass_time(0.25)
            for key in keys:
                world.find(key)
        # a minute holds twelve lifetimes; in the first, those that are not half over are asked for apart
        assert 12 <= len(world.questions()) <= 14

    def test_a_key_that_nobody_uses_is_taken_along_once_at_most(self, world: World) -> None:
        """What was used once does not cost a row for ever."""
        world.find("a")
        world.find("b")
        for _ in range(4):
            world.time.pass_time(5)
            world.find("a")
        assert world.questions() == [["a"], ["b"], ["a", "b"], ["a"], ["a"], ["a"]]

    def test_a_question_takes_along_no_more_than_its_maximum(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A question stays one that a database answers at once."""
        monkeypatch.setattr(cached_source, "TAKEN_ALONG_MAXIMUM", 2)
        world.source.values = dict.fromkeys("abcdef", "1")
        world.find(*"abcdef")
        world.time.pass_time(5)
        world.find("a")
        assert [len(keys) for keys in world.questions()] == [6, 3]

    def test_threads_that_ask_at_once_ask_one_question(self, world: World) -> None:
        """Sixteen prepare threads, one customer: one query, and the answer for all."""
        world.source.gate.clear()
        with ThreadPoolExecutor(THREADS) as pool:
            answers = [pool.submit(world.find, "a") for _ in range(THREADS)]
            assert world.source.reached.wait(60)
            world.source.gate.set()
            assert [answer.result(60) for answer in answers] == [{"a": "1"}] * THREADS
        assert world.questions() == [["a"]]

    def test_what_is_wanted_during_a_question_is_asked_for_together(self, world: World) -> None:
        """Fifteen other customers that came meanwhile are one question more, not fifteen."""
        keys = [f"k-{number}" for number in range(THREADS)]
        world.source.values = dict.fromkeys(keys, "1")
        world.source.gate.clear()
        with ThreadPoolExecutor(THREADS) as pool:
            first = pool.submit(world.find, keys[0])
            assert world.source.reached.wait(60)
            others = [pool.submit(world.find, key) for key in keys[1:]]
            arrived = threading.Event()
            while not arrived.wait(0.001):
                with world.cache._changed:
                    if len(world.cache._wanted) == THREADS - 1:
                        arrived.set()
            world.source.gate.set()
            assert [answer.result(60) for answer in (first, *others)] == [{key: "1"} for key in keys]
        assert world.questions() == [[keys[0]], sorted(keys[1:])]

    def test_a_defect_of_the_source_is_its_caller_s_and_stops_nobody(self, world: World) -> None:
        """Whatever else it raises, the next call asks again."""

        def broken(_keys: object) -> dict[str, str]:
            raise ZeroDivisionError

        world.cache._load = broken
        with pytest.raises(ZeroDivisionError):
            world.find("a")
        world.cache._load = world.source
        assert world.find("a") == {"a": "1"}
        assert world.noted.events == []


class TestAway:
    def test_what_is_remembered_is_used_until_it_is_too_old(self, world: World) -> None:
        """A minute, here; then nothing is known any more."""
        world.find("a")
        world.source.away = "it is gone"
        world.time.pass_time(59)
        assert world.cache.find(["a"]) == ({"a": "1"}, True)
        world.time.pass_time(1)
        with pytest.raises(DirectoryUnavailable, match="it is gone"):
            world.find("a")

    def test_what_is_not_remembered_is_unavailable_never_unknown(self, world: World) -> None:
        """Neither a customer that was never asked for nor one that was unknown before."""
        world.find("unknown", "a")
        world.source.away = "it is gone"
        world.time.pass_time(5)
        for keys in (["b"], ["unknown"], ["a", "b"]):
            with pytest.raises(DirectoryUnavailable):
                world.find(*keys)

    def test_an_away_source_is_left_alone_longer_and_longer(self, world: World) -> None:
        """Asked after 1, 2, 4, 8 and 16 s and then every half minute, however many jobs come."""
        world.source.away = "it is gone"
        asked_at = []
        for second in range(125):
            for _ in range(3):
                with pytest.raises(DirectoryUnavailable):
                    world.find("a")
            if world.questions():
                asked_at.append(second)
            world.time.pass_time(1)
        assert asked_at == [0, 1, 3, 7, 15, 31, 61, 91, 121]

    def test_going_and_coming_back_are_told_once(self, world: World) -> None:
        """Two lines in the log, whatever lies between; and the pauses begin at a second again."""
        world.source.away = "it is gone"
        for _ in range(40):
            with pytest.raises(DirectoryUnavailable):
                world.find("a")
            world.time.pass_time(1)
        world.source.away = None
        world.time.pass_time(30)
        assert world.cache.find(["a"]) == ({"a": "1"}, False)
        world.source.away = "again"
        world.time.pass_time(5)
        world.find("a")
        world.time.pass_time(1)
        world.questions()
        world.find("a")
        assert len(world.questions()) == 1
        assert world.noted.events == ["away: it is gone", "back", "away: again"]

    def test_nobody_waits_for_a_probe(self, world: World) -> None:
        """While one thread finds out whether the source is back, the others go on with what they know."""
        world.find("a")
        world.source.away = "it is gone"
        world.time.pass_time(5)
        world.find("a")
        world.time.pass_time(1)
        world.source.gate.clear()
        world.source.reached.clear()
        with ThreadPoolExecutor(1) as pool:
            probe = pool.submit(world.find, "a")
            assert world.source.reached.wait(60)
            assert world.find("a") == {"a": "1"}
            with pytest.raises(DirectoryUnavailable):
                world.find("b")
            world.source.gate.set()
            assert probe.result(60) == {"a": "1"}

    def test_a_source_that_says_nothing_keeps_others_no_longer_than_their_patience(
        self, world: World
    ) -> None:
        """The thread that asked hangs; five seconds later the others use what they know."""
        world.find("a")
        world.time.pass_time(5)
        world.source.gate.clear()
        world.source.reached.clear()
        with ThreadPoolExecutor(1) as pool:
            hanging = pool.submit(world.find, "a")
            assert world.source.reached.wait(60)
            world.time.pass_time(5)
            assert world.cache.find(["a"]) == ({"a": "1"}, True)
            with pytest.raises(DirectoryUnavailable, match="does not answer"):
                world.find("b")
            world.source.gate.set()
            assert hanging.result(60) == {"a": "1"}
