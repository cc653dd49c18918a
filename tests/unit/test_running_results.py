"""Running results: long jobs are told of while they run, seldom, and at nobody's cost."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from config.result import decode_result
from tests.support.fakes import MemoryStore, QuickStop
from tests.support.job_stage import LATER, SOON, Stage
from tests.support.memory_queue import MemoryPlace, away, no_faults
from worker.conclusion import Discard
from worker.letters import Letters
from worker.running_results import RunningResults

INTERVAL = timedelta(seconds=5)


class Desk:
    """A job in hand, and what is told of it."""

    def __init__(self, customers: int = 3) -> None:
        self.stage = Stage(customers)
        self.stage.start()
        self.queue = MemoryPlace().transport("responses")
        letters = Letters(MemoryStore(), None, "host:1", self.stage.time.clock)
        self.told = RunningResults(self.queue, letters.news, INTERVAL, self.stage.time.clock)
        self.away: Sequence[str] = ()

    def tell(self, after_seconds: float = 5.0) -> list[dict[str, Any]]:
        """Let time pass and a turn come; what it sent."""
        self.stage.time.pass_time(after_seconds)
        self.told.tell(lambda: [self.stage.job], lambda: self.away)
        return self.take()

    def take(self) -> list[dict[str, Any]]:
        """What is on the response queue, which is empty then."""
        deliveries = self.queue.receive(10, timedelta(), timedelta(minutes=1))
        self.queue.ack(deliveries)
        return [json.loads(delivery.body) for delivery in deliveries]

    def returned(self, receive_count: int) -> list[dict[str, Any]]:
        """Let the job leave at this receive; what is told of it."""
        self.stage.held.delivery = replace(self.stage.held.delivery, receive_count=receive_count)
        for part in self.stage.offered:
            self.stage.job.part_deferred(part, LATER)
        self.told.note_conclusion(self.stage.job, *self.stage.concluded)
        self.told.tell(list, tuple)
        return self.take()


@pytest.fixture
def desk() -> Desk:
    """A job that was taken in hand just now."""
    return Desk()


def test_a_job_is_told_of_when_it_takes_longer_than_the_interval(desk: Desk) -> None:
    """Nothing before; then how far it is, in the form of the wire."""
    assert desk.tell(after_seconds=4.9) == []
    desk.stage.end(0)
    (result,) = desk.tell(after_seconds=0.1)
    assert decode_result(json.dumps(result)).status == "running"
    assert result["progress"] == {"done": 1, "total": 3}
    assert result["waiting"] == result["customers"] == []
    assert result["finished_at"] is None


def test_what_did_not_change_is_told_once(desk: Desk) -> None:
    """A job that stands still costs one message, however long it takes."""
    assert len(desk.tell()) == 1
    assert desk.tell() == []
    desk.stage.end(1)
    assert [result["progress"]["done"] for result in desk.tell()] == [1]
    assert desk.tell() == []


def test_those_who_wait_for_a_shard_that_is_away_are_named(desk: Desk) -> None:
    """In the job's order; without them again when their shard is back."""
    desk.stage.end(1)
    desk.away = ["eu0"]
    assert [result["waiting"] for result in desk.tell()] == [["c-0", "c-2"]]
    desk.away = []
    assert [result["waiting"] for result in desk.tell()] == [[]]


def test_at_most_a_hundred_of_them_are_named() -> None:
    """The contract's limit: a job can have thousands of customers."""
    desk = Desk(customers=150)
    desk.away = ["eu0"]
    (result,) = desk.tell()
    assert len(result["waiting"]) == 100
    assert result["progress"] == {"done": 0, "total": 150}


def test_a_job_that_ends_is_not_told_of(desk: Desk) -> None:
    """A conflict or a later run was found: the answer under that id is another's."""
    desk.stage.job.part_conflicted(desk.stage.job.parts[0], "Other content.")
    assert desk.tell() == []


def test_a_job_that_goes_back_because_of_a_shard_is_told_of_at_growing_distances() -> None:
    """At the first, second, fourth and eighth delivery: an absence of a day costs some ten messages."""
    assert [count for count in range(1, 10) if Desk().returned(count)] == [1, 2, 4, 8]


def test_what_is_told_of_a_job_that_goes_back_says_who_waits(desk: Desk) -> None:
    """The parts that are done count, the others wait."""
    desk.stage.end(0)
    desk.stage.offered.pop(0)
    (result,) = desk.returned(1)
    assert result["progress"] == {"done": 1, "total": 3}
    assert result["waiting"] == ["c-1", "c-2"]


def test_a_job_that_goes_back_for_another_reason_is_not_told_of(desk: Desk) -> None:
    """A retry, a busy copy, a discarded run: there is nobody to wait for."""
    for part in desk.stage.offered:
        desk.stage.job.part_deferred(part, SOON)
    desk.told.note_conclusion(desk.stage.job, *desk.stage.concluded)
    desk.told.note_conclusion(desk.stage.job, Discard("superseded"))
    assert desk.tell(after_seconds=0) == []


def test_while_the_queue_is_away_it_is_asked_less_and_less_often(desk: Desk) -> None:
    """What it did not take is dropped, the waits grow to a minute, and the next news come through."""
    desk.queue.interfere = away
    stop = QuickStop(after=8)

    desk.stage.time.pass_time(5)
    desk.told.run(lambda: [Stage().job], tuple, stop)
    waits = [wait or 0.0 for wait in stop.waits]
    assert waits[:4] == [5, 5, 10, 20]
    assert max(waits) == 30
    desk.queue.interfere = no_faults
    assert len(desk.tell()) == 1


def test_what_waits_to_be_told_does_not_grow_without_end(desk: Desk) -> None:
    """However many jobs go back while the response queue is away, a thousand messages are kept at most."""
    desk.queue.interfere = away
    for part in desk.stage.offered:
        desk.stage.job.part_deferred(part, LATER)
    for _ in range(1200):
        desk.told.note_conclusion(desk.stage.job, *desk.stage.concluded)
    desk.queue.interfere = no_faults
    desk.told.tell(list, tuple)
    assert desk.queue.depth().waiting == 1000
