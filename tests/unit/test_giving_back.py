"""Giving back what a process that leaves could not finish."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from tests.support.jobs import held_of
from tests.support.memory_queue import MemoryPlace, MemoryTransport, away
from worker.giving_back import THREAD_PREFIX, give_back
from worker.held import Held
from worker.lifecycle import Threads
from worker.transports.base import Faults, Message

PATIENCE_SECONDS = 60


@pytest.fixture(name="threads")
def make_threads() -> Iterator[Threads]:
    """Threads of which none may die."""
    deaths: list[str] = []
    yield Threads(deaths.append)
    assert deaths == []


def received(place: MemoryPlace, name: str, count: int) -> tuple[MemoryTransport, list[Held]]:
    """So many deliveries of a queue, in hand."""
    queue = place.transport(name)
    queue.send([Message(body=f"{name} {number}") for number in range(count)])
    held = held_of("{}", source=queue)
    deliveries = queue.receive(count, queue.wait_maximum, queue.wait_maximum)
    return queue, [replace(held, delivery=delivery) for delivery in deliveries]


def end_of(threads: Threads, name: str) -> None:
    """Wait until a queue's thread has ended."""
    for thread, _ in threads.running():
        if thread.name == f"{THREAD_PREFIX}{name}":
            thread.join(PATIENCE_SECONDS)


def test_what_was_in_hand_can_be_received_at_once(threads: Threads) -> None:
    """Of each queue that it came from."""
    place = MemoryPlace()
    (one, ours), (two, others) = received(place, "one", 3), received(place, "two", 2)

    give_back([*ours, *others], threads.start)
    for name in ("one", "two"):
        end_of(threads, name)

    assert (one.depth().waiting, two.depth().waiting) == (3, 2)


def test_a_queue_that_does_not_answer_holds_up_neither_the_others_nor_the_caller(threads: Threads) -> None:
    """Whichever comes first: the caller goes on, and the others' deliveries are back."""
    place = MemoryPlace()
    silent, ours = received(place, "silent", 1)
    quick, others = received(place, "quick", 1)
    answers = threading.Event()

    def wait(_action: str, _batch: object) -> Faults:
        assert answers.wait(PATIENCE_SECONDS)
        return {}

    silent.interfere = wait
    give_back([*ours, *others], threads.start)
    end_of(threads, "quick")
    assert quick.depth().waiting == 1
    assert threads.alive(THREAD_PREFIX)
    answers.set()
    end_of(threads, "silent")

    assert silent.depth().waiting == 1


def test_a_queue_that_is_away_is_told_of(threads: Threads) -> None:
    """Its leases end by themselves."""
    queue, held = received(MemoryPlace(), "requests", 2)
    queue.interfere = away
    with capture_logs() as lines:
        give_back(held, threads.start)
        end_of(threads, "requests")

    assert [(line["event"], line["queue"], line["count"]) for line in lines] == [
        ("settle.failed", "requests", 2)
    ]
