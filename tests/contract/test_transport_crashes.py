"""What every transport promises when processes share a queue and some of them are killed."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from queue import SimpleQueue
from threading import Thread

import pytest

from tests.support.queue_backends import Backend
from tests.support.receiving import send_bodies
from worker.transports.base import Transport

VICTIM_LEASE_SECONDS = 2
LEASE_SECONDS = 60
PATIENCE_SECONDS = 60
SENT = [f"message {number:03}" for number in range(120)]

pytestmark = [
    pytest.mark.not_on("sqs-moto", why="concurrent deletes and receives lose updates"),
    pytest.mark.not_on("memory", why="its queues live in one process"),
]

Process = subprocess.Popen[str]
Start = Callable[[str, int], Process]


@contextmanager
def consumer(url: str, mode: str, lease_seconds: int) -> Iterator[Process]:
    command = [sys.executable, "-m", "tests.support.queue_consumer", url, str(lease_seconds), mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def start(backend: Backend, queue: Transport) -> Iterator[Start]:
    """Starts a process that works on the queue; all are killed at the end."""
    del queue
    with ExitStack() as processes:
        yield lambda mode, lease_seconds: processes.enter_context(
            consumer(backend.url(), mode, lease_seconds)
        )


def lines(process: Process) -> Iterator[str]:
    assert process.stdout is not None
    return (line.rstrip("\n") for line in process.stdout)


def until_all_are_handled(processes: list[Process], handled: list[str]) -> list[str]:
    """What was handled before, and what the processes print until every message was among it."""
    printed: SimpleQueue[str] = SimpleQueue()
    for process in processes:
        Thread(target=pass_on, args=(lines(process), printed), daemon=True).start()
    while set(handled) != set(SENT):
        handled = [*handled, printed.get(timeout=PATIENCE_SECONDS)]
    return handled


def pass_on(source: Iterator[str], target: SimpleQueue[str]) -> None:
    for line in source:
        target.put(line)


def test_what_a_killed_process_held_comes_back_and_is_handled_once(queue: Transport, start: Start) -> None:
    """The holder is killed by SIGKILL; two others handle exactly all, its messages after the lease."""
    send_bodies(queue, *SENT)
    holder = start("hold", VICTIM_LEASE_SECONDS)
    held = list(islice(lines(holder), 10))
    holder.kill()
    handled = until_all_are_handled([start("handle", LEASE_SECONDS), start("handle", LEASE_SECONDS)], [])
    assert len(held) == 10
    assert sorted(handled) == SENT


def test_a_process_killed_at_work_loses_nothing(queue: Transport, start: Start) -> None:
    """Whatever it did last, the queue is whole, and every message is handled at least once."""
    send_bodies(queue, *SENT)
    victim = start("handle", VICTIM_LEASE_SECONDS)
    printed = lines(victim)
    seen = list(islice(printed, 30))
    victim.kill()
    # It may have handled and acked more than those before the kill reached it.
    seen += printed
    handled = until_all_are_handled([start("handle", LEASE_SECONDS)], seen)
    assert set(handled) == set(SENT)
    assert len(handled) <= len(SENT) + 20
