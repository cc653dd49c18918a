"""One question to many places at once: every answer once, and no waiting for a place that says nothing."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import settings
from shards.engines import Shard, Shards
from shards.failure_codes import AWAY
from shards.failures import KnownFailure, failure_of
from worker.cli.every_place import ask_every
from worker.cli.places import Place

NAMES = tuple(f"eu{number}" for number in range(12))
PLACES = [Place(name, None, ()) for name in NAMES]


@pytest.fixture(name="shards")
def many_shards(tmp_path: Path) -> Iterator[Shards]:
    sections = {name: settings.Shard(url=f"sqlite:///{tmp_path}/{name}.db", limit=4) for name in NAMES}
    shards = Shards(sections)
    yield shards
    shards.close()


@pytest.mark.parametrize("jobs", [1, 3, 50])
def test_every_place_answers_once(shards: Shards, jobs: int) -> None:
    """However many are asked at a time."""
    answers = list(ask_every(shards, PLACES, lambda shard, _: shard.name.upper(), jobs=jobs))

    assert sorted(answer.place.shard for answer in answers) == sorted(NAMES)
    assert all(answer.value == answer.place.shard.upper() for answer in answers)


def test_no_place_is_no_answer(shards: Shards) -> None:
    """And no thread."""
    assert list(ask_every(shards, [], lambda shard, _: shard.name, jobs=8)) == []


def test_no_more_are_asked_at_a_time_than_told(shards: Shards) -> None:
    """A server of many shards is not overrun."""
    lock, running, most = threading.Lock(), [0], [0]
    meet = threading.Barrier(3)

    def question(_shard: Shard, _schema: str | None) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        meet.wait(10)
        with lock:
            running[0] -= 1

    assert len(list(ask_every(shards, PLACES, question, jobs=3))) == len(PLACES)
    assert most == [3]


def test_a_shard_is_asked_no_more_at_a_time_than_it_has_connections(tmp_path: Path) -> None:
    """Its schemas would otherwise fail for want of one."""
    section = settings.Shard(url=f"sqlite:///{tmp_path}/one.db", limit=1)
    lock = threading.Lock()

    def question(_shard: Shard, schema: str | None) -> str | None:
        assert lock.acquire(blocking=False)
        lock.release()
        return schema

    places = [Place("one", f"tenant_{number}", ()) for number in range(50)]
    answers = list(ask_every(Shards({"one": section}), places, question, jobs=8))

    assert {answer.value for answer in answers} == {place.schema for place in places}


def test_what_a_database_refuses_is_an_answer(shards: Shards) -> None:
    """With the sentence that tells it, and the others answer."""

    def question(shard: Shard, _schema: str | None) -> str:
        if shard.name == "eu3":
            raise KnownFailure(failure_of(AWAY, "of the test"))
        return shard.name

    refused = [answer for answer in ask_every(shards, PLACES, question, jobs=4) if answer.error]

    assert [(answer.place.shard, answer.value) for answer in refused] == [("eu3", None)]
    assert "of the test" in str(refused[0].error)


def test_an_unexpected_error_is_raised_where_the_answers_are_waited_for(shards: Shards) -> None:
    """It does not die with its thread."""

    def question(_shard: Shard, _schema: str | None) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(ask_every(shards, PLACES, question, jobs=2))


def test_a_place_that_says_nothing_keeps_nobody_waiting(shards: Shards) -> None:
    """It is answered for when its time is over; the places behind it are asked by another thread."""
    for_ever = threading.Event()

    def question(shard: Shard, _schema: str | None) -> str:
        if shard.name in {"eu0", "eu1"}:
            for_ever.wait(60)
        return shard.name

    answers = list(ask_every(shards, PLACES, question, jobs=2, patience_seconds=0.2))
    for_ever.set()

    silent = {answer.place.shard for answer in answers if answer.error}
    assert silent == {"eu0", "eu1"}
    assert len(answers) == len(PLACES)
    assert {str(answer.error) for answer in answers if answer.error} == {"It does not answer within 0.2 s."}
