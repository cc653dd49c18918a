"""The process's life: signals, the threads that carry it, and the events that end it."""

import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import structlog

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger()


class LifeEvents:
    """What happens to the process, in order, as the main thread reads it.

    A `SimpleQueue`, because a signal handler may put into it whatever the main thread is doing then; an
    `Event.set()` there can wait for ever on a lock that the interrupted code holds.
    """

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[str] = queue.SimpleQueue()

    def put(self, event: str) -> None:
        """Tell the main thread."""
        self._events.put(event)

    def next(self, timeout_seconds: float) -> str | None:
        """The next event; None when none came in time."""
        try:
            return self._events.get(timeout=max(0.0, timeout_seconds))
        except queue.Empty:
            return None

    @contextmanager
    def signals(self) -> Iterator[None]:
        """While inside, SIGTERM and SIGINT are events and nothing else; the handlers before are put back."""

        def note(number: int, _: FrameType | None) -> None:
            self._events.put(signal.Signals(number).name)

        before = {number: signal.signal(number, note) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Threads:
    """The process's threads; one that ends by an error ends the process, for a worker must not go silent.

    They are daemon threads: a handler that never returns must not keep the process from leaving.
    """

    def __init__(self, on_death: Callable[[str], None]) -> None:
        self._on_death = on_death
        self._threads: list[threading.Thread] = []

    def start(self, name: str, body: Callable[[], None]) -> None:
        """Run the body on a thread of its own."""
        thread = threading.Thread(target=self._run, args=(name, body), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self, prefix: str, timeout_seconds: float) -> bool:
        """Wait for the threads whose names begin so; whether all of them ended in time."""
        for thread in self._threads:
            if thread.name.startswith(prefix):
                thread.join(timeout_seconds)
        return not self.alive(prefix)

    def alive(self, prefix: str) -> bool:
        """Whether any thread whose name begins so still runs."""
        return any(thread.is_alive() for thread in self._threads if thread.name.startswith(prefix))

    def _run(self, name: str, body: Callable[[], None]) -> None:
        try:
            body()
        except BaseException as error:
            log.error("worker.thread_died", thread=name, exc_info=error)
            self._on_death(name)
