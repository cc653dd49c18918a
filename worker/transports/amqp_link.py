"""A connection to RabbitMQ on a thread of its own: whatever is done with it is done there."""

import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from kombu.connection import Connection

from worker.transports.amqp_connections import (
    FAILURES,
    HEARTBEAT_SECONDS,
    Unanswered,
    close_connection,
    error_from,
)
from worker.transports.base import TransportError

LOOK_SECONDS: Final = HEARTBEAT_SECONDS / 4
CALL_SECONDS: Final = 60.0
WAKING_BYTES: Final = 4096

Answer = TypeVar("Answer")
Job = Callable[[Connection], Answer]


class Link:
    """Keeps one connection: made when something is to be done, and made anew after it broke.

    The thread waits for the broker and for callers at once. `tend` is called there in each turn, and says in
    how many seconds it wants to be called again. `broken` is called there with the reason when the connection
    is lost, or could not be made.
    """

    def __init__(
        self,
        queue_name: str,
        purpose: str,
        connect: Callable[[Callable[[bool], None]], Connection],
        tend: Callable[[], float] = lambda: LOOK_SECONDS,
        broken: Callable[[TransportError], None] = lambda _error: None,
    ) -> None:
        self.is_blocked = False
        self._queue_name = queue_name
        self._purpose = purpose
        self._connect = connect
        self._tend = tend
        self._broken = broken
        self._lock = threading.Lock()
        self._jobs: deque[tuple[Job[Any], Future[Any]]] = deque()
        self._thread: threading.Thread | None = None
        self._heard: socket.socket | None = None
        self._waker: socket.socket | None = None
        self._closing = False
        self._connection: Connection | None = None
        self._selector: selectors.BaseSelector = selectors.DefaultSelector()
        self._sockets: list[socket.socket] = []
        self._soon: deque[Callable[[], None]] = deque()

    def call(self, job: Job[Answer]) -> Answer:
        """What the job returns that is run with the connection; raises `TransportError`."""
        future = self.post(job)
        try:
            return future.result(CALL_SECONDS)
        except FutureTimeoutError:
            future.cancel()
            raise Unanswered(
                f"queue {self._queue_name}: RabbitMQ did not answer in time; the call has to be repeated"
            ) from None

    def post(self, job: Job[Answer]) -> Future[Answer]:
        """The same without waiting for it."""
        future: Future[Answer] = Future()
        with self._lock:
            if self._closing:
                raise TransportError(f"queue {self._queue_name}: it was closed, nothing was done")
            self._jobs.append((job, future))
            if self._thread is None or not self._thread.is_alive():
                self._start()
        self.wake()
        return future

    def wake(self) -> None:
        """Let the thread look around now."""
        with self._lock, suppress(BlockingIOError):  # full: it is to be woken already
            if self._waker is not None:
                self._waker.send(b"\0")

    def close(self) -> None:
        """Let what was asked for be done, close the connection and end the thread; waits for that."""
        with self._lock:
            self._closing = True
            thread = self._thread
        self.wake()
        if thread is not None:
            thread.join(CALL_SECONDS)

    def add_reader(self, source: socket.socket, callback: Callable[..., None], *arguments: object) -> None:
        """Kombu's way to say which socket it reads, and how."""
        self._sockets.append(source)
        self._selector.register(source, selectors.EVENT_READ, partial(callback, *arguments))

    def call_soon(self, callback: Callable[..., None], *arguments: object) -> None:
        """Kombu's way to say that it has not read all."""
        self._soon.append(partial(callback, *arguments))

    def _start(self) -> None:
        if self._waker is None:
            self._heard, self._waker = socket.socketpair()
            self._heard.setblocking(False)
            self._waker.setblocking(False)
            self._selector.register(self._heard, selectors.EVENT_READ, partial(_empty, self._heard))
        name = f"amqp-{self._purpose}-{self._queue_name}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        pause_seconds = 0.0
        while not self._is_done():
            for key, _ in self._selector.select(pause_seconds):
                self._guard(key.data)
            for _ in range(len(self._soon)):
                if self._soon:  # the connection can break at the first of them
                    self._guard(self._soon.popleft())
            while (entry := self._next()) is not None:
                self._run_job(*entry)
            pause_seconds = self._guard(self._look) or 0.0
        self._leave()

    def _is_done(self) -> bool:
        with self._lock:
            return self._closing and not self._jobs

    def _next(self) -> tuple[Job[Any], Future[Any]] | None:
        with self._lock:
            return self._jobs.popleft() if self._jobs else None

    def _run_job(self, job: Job[Any], future: Future[Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(job(self._connected()))
        except (*FAILURES, TransportError) as error:
            told = error_from(self._queue_name, error)
            told.__cause__ = None if told is error else error
            self._break(told)
            future.set_exception(told)
        except BaseException as error:  # noqa: BLE001 - a defect belongs to who asked, not to this thread
            self._break(error_from(self._queue_name, error))
            future.set_exception(error)

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = connection = self._connect(self._note_blocked)
            connection.register_with_event_loop(self)
        # What a job reads on its way may leave more in the buffers of TLS, where no selector sees it.
        self.call_soon(self._read_rest)
        return self._connection

    def _note_blocked(self, is_blocked: bool) -> None:  # noqa: FBT001 - it is what the broker says, no option
        self.is_blocked = is_blocked

    def _read_rest(self) -> None:
        if self._connection is not None:
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=0)
                self.call_soon(self._read_rest)

    def _look(self) -> float:
        """Seconds until the next turn, if nothing happens before."""
        if self._connection is None:
            return LOOK_SECONDS
        self._connection.heartbeat_check()
        pause_seconds = self._tend()
        return 0.0 if self._soon else max(0.0, min(pause_seconds, LOOK_SECONDS))

    def _guard(self, step: Callable[[], Answer]) -> Answer | None:
        try:
            return step()
        except Exception as error:  # noqa: BLE001 - whatever it is: without this thread nobody would be served
            told = error_from(self._queue_name, error)
            told.__cause__ = error
            self._break(told)
            return None

    def _break(self, error: TransportError) -> None:
        connection, self._connection = self._connection, None
        self.is_blocked = False
        self._forget_sockets()
        if connection is not None:
            close_connection(connection, politely=False)
        self._broken(error)

    def _forget_sockets(self) -> None:
        self._soon.clear()
        for source in self._sockets:
            self._selector.unregister(source)
        self._sockets.clear()

    def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # A broker that has stopped reading would not answer a farewell either.
            close_connection(connection, politely=not self.is_blocked)
        with self._lock:
            waker, self._waker = self._waker, None
        self._selector.close()
        for end in (self._heard, waker):
            if end is not None:
                end.close()


def _empty(heard: socket.socket) -> None:
    with suppress(BlockingIOError):
        heard.recv(WAKING_BYTES)
