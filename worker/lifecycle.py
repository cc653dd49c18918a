"""The process's life: signals, the threads that carry it, and the events that end it."""

import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import structlog

from worker.pulse import Monotonic, Pulse, bind

SIGNALS: Final = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGQUIT),
    *(signal.SIGUSR2, signal.SIGHUP, signal.SIGUSR1),
)
STOP_EVENTS: Final = ("SIGTERM", "SIGINT", "SIGQUIT")

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
        """While inside, signals are events and nothing else; the handlers before are put back."""

        def note(number: int, _: FrameType | None) -> None:
            self._events.put(signal.Signals(number).name)

        before = {number: signal.signal(number, note) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Threads:
    """The process's threads; one that ends by an error ends the process, for a worker must not go silent.

    They are daemon threads: a handler that never returns must not keep the process from leaving. Each has a
    pulse, by which it can be told whether it moves.
    """

    def __init__(self, on_death: Callable[[str], None], monotonic: Monotonic = time.monotonic) -> None:
        self._on_death = on_death
        self._monotonic = monotonic
        self._threads: list[tuple[threading.Thread, Pulse]] = []
        self._lock = threading.Lock()

    def start(self, name: str, body: Callable[[], None]) -> None:
        """Run the body on a thread of its own."""
        pulse = Pulse(self._monotonic)
        thread = threading.Thread(target=self._run, args=(name, body, pulse), name=name, daemon=True)
        thread.start()
        with self._lock:
            self._threads = [*self.running(), (thread, pulse)]

    def running(self) -> list[tuple[threading.Thread, Pulse]]:
        """The threads that have not ended, each with its pulse."""
        return [(thread, pulse) for thread, pulse in self._threads if thread.is_alive()]

    def alive(self, prefix: str) -> bool:
        """Whether any thread whose name begins so still runs."""
        return any(thread.name.startswith(prefix) for thread, _ in self.running())

    def _run(self, name: str, body: Callable[[], None], pulse: Pulse) -> None:
        bind(pulse)
        try:
            body()
        except BaseException as error:
            log.error("worker.thread_died", thread=name, exc_info=error)
            self._on_death(name)
