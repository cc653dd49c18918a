"""The process's life: what happens to it, in order, and threads that do not die in silence."""

import os
import signal
import threading

from structlog.testing import capture_logs

from config.settings import Ec2
from tests.support.world import wait_until
from worker.events import EVENTS, unknown_fields
from worker.lifecycle import SIGNALS, STOP_EVENTS, LifeEvents, Threads

PATIENCE_SECONDS = 60.0


def test_events_are_read_in_the_order_in_which_they_happened() -> None:
    """By the main thread, whoever put them."""
    events = LifeEvents()
    for event in ("limit", "empty"):
        events.put(event)

    assert [events.next(0), events.next(0), events.next(0)] == ["limit", "empty", None]


def test_a_wait_for_a_moment_that_is_past_is_no_wait() -> None:
    """A negative time is none."""
    assert LifeEvents().next(-5) is None


def test_signals_are_events_and_nothing_else() -> None:
    """Inside; afterwards the handlers are those of before."""
    events = LifeEvents()
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with events.signals():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
        seen = [events.next(PATIENCE_SECONDS), events.next(PATIENCE_SECONDS)]

    assert sorted(filter(None, seen)) == ["SIGHUP", "SIGTERM"]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_two_different_signals_to_stop_are_never_one() -> None:
    """Two of the same can be, in the kernel: so the watcher of an EC2 machine hurries with another one."""
    (hurry,) = (word.partition("=")[2] for word in Ec2().hurry_command if word.startswith("--signal="))
    assert hurry in set(STOP_EVENTS) - {"SIGTERM"}
    events, own = LifeEvents(), threading.get_ident()
    with events.signals():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        for name in ("SIGTERM", "SIGTERM", hurry, hurry):
            signal.pthread_kill(own, signal.Signals[name])
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        seen = [events.next(PATIENCE_SECONDS), events.next(PATIENCE_SECONDS), events.next(0)]

    assert sorted(filter(None, seen)) == sorted([hurry, "SIGTERM"])


def test_a_thread_that_dies_is_told_by_name() -> None:
    """Even by what no handler should raise; and the log knows the line."""
    died: list[str] = []
    threads = Threads(died.append)

    def body() -> None:
        raise SystemExit

    with capture_logs() as lines:
        threads.start("work-0", body)
        wait_until(lambda: not threads.alive("work-"), "the thread's end")

    assert died == ["work-0"]
    (line,) = lines
    assert line["event"] in EVENTS
    assert unknown_fields(line["event"], frozenset(line) - {"log_level", "exc_info"}) == set()


def test_a_thread_that_ends_by_itself_is_no_death() -> None:
    """Nobody is told."""
    died: list[str] = []
    threads = Threads(died.append)
    threads.start("settle-acks", lambda: None)

    wait_until(lambda: not threads.alive("settle-"), "the thread's end")
    assert died == []


def test_threads_are_told_apart_by_their_names() -> None:
    """And one that never returns does not keep the process from leaving."""
    release = threading.Event()
    threads = Threads(lambda _: None)

    def poll() -> None:
        release.wait(PATIENCE_SECONDS)

    threads.start("receive-requests", poll)
    threads.start("settle-acks", lambda: None)

    wait_until(lambda: not threads.alive("settle-"), "the thread's end")
    assert threads.alive("receive-")
    assert [thread.daemon for thread, _ in threads.running()] == [True]
    release.set()
