"""A small HTTP server on one listening socket, with two threads of its own, which nothing waits for."""

import select
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from worker.metrics.pages import Page

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

THREADS: Final = 2
BACKLOG: Final = 16
SOCKET_MODE: Final = 0o660
"""Who may ask: the worker's user, and operators in its group."""
PATIENCE: Final = timedelta(seconds=5)
HURRIED_PATIENCE_SECONDS: Final = 0.5
"""For whom is slow while somebody else waits and no thread is free."""
LOOK_SECONDS: Final = 0.1
RETRY_SECONDS: Final = 1.0

log = structlog.get_logger()


def listen_on_path(path: Path) -> socket.socket:
    """A listening Unix socket, in place of one that a killed process left. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        path.chmod(SOCKET_MODE)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def listen_on_port(host: str, ports: Iterable[int]) -> socket.socket:
    """A listening socket on the first of the ports that is free. Raises `OSError` where none is."""
    last_error = OSError("no port is configured")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in ports:
        try:
            return socket.create_server((host, port), family=family, backlog=BACKLOG)
        except OSError as error:
            last_error = error
    raise last_error


class Endpoint:
    """Answers each request with a page, a few at a time; who is slow to ask is dropped.

    `patience`: how long a whole request may take to come, and its answer to be taken; half a second while
    others wait, so that a few slow ones never keep them from an answer.
    The first error in answering is logged, later ones are not: whoever asks will ask again.
    """

    def __init__(
        self, listener: socket.socket, answer: Callable[[str], Page], patience: timedelta = PATIENCE
    ) -> None:
        self.patience_seconds = patience.total_seconds()
        self._listener = listener
        self._answer = answer
        self._failed = False
        self._busy = 0
        self._busy_lock = threading.Lock()
        self._closed = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name=f"metrics-{number}", daemon=True)
            for number in range(THREADS)
        ]

    @property
    def address(self) -> str:
        """Where it listens: `host:port`, or a path."""
        name = self._listener.getsockname()
        return name if isinstance(name, str) else f"{name[0]}:{name[1]}"

    def start(self) -> None:
        """Answer from now on."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Answer no more. What is being answered is not waited for."""
        self._closed.set()
        with suppress(OSError):  # wakes the threads that wait for somebody
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                # Without a descriptor left for another connection it is tried again when some may be free.
                if self._closed.wait(RETRY_SECONDS):
                    return
                continue
            self._count_busy(1)
            with connection:
                self._serve(connection)
            self._count_busy(-1)

    def _count_busy(self, more: int) -> None:
        with self._busy_lock:
            self._busy += more

    def others_wait(self) -> bool:
        """Whether somebody waits for an answer whom no thread is free for."""
        if self._busy < THREADS:
            return False
        waiting = select.poll()
        try:
            waiting.register(self._listener, select.POLLIN)
            return bool(waiting.poll(0))
        except (OSError, ValueError):  # it was closed: nobody is answered any more
            return True

    def _serve(self, connection: socket.socket) -> None:
        try:
            _Request(connection, ("", 0), self)  # type: ignore[arg-type]  # it only keeps the server for others
        except TimeoutError:
            return
        except Exception as error:
            if not self._failed and not isinstance(error, ConnectionError):
                self._failed = True
                log.warning("worker.metrics_failed", address=self.address, exc_info=error)

    def page(self, path: str) -> Page:
        """What is answered to a request for the path."""
        return self._answer(path)


class _Stream(RawIOBase):
    """What comes and goes on a connection. Raises `TimeoutError` where the patience is at its end.

    The socket's own time-out would begin anew with each byte, and somebody may send one at a time.
    """

    def __init__(self, connection: socket.socket, endpoint: Endpoint) -> None:
        self._connection = connection
        self._connection.setblocking(False)
        self._endpoint = endpoint
        self._began_at = time.monotonic()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        self._wait_for(select.POLLIN)
        return self._connection.recv_into(buffer)

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer") -> int:
        """Send all of it, in a time of its own."""
        self._began_at = time.monotonic()
        left = memoryview(data).cast("B")
        while left:
            self._wait_for(select.POLLOUT)
            left = left[self._connection.send(left) :]
        return memoryview(data).nbytes

    def _wait_for(self, readiness: int) -> None:
        ready = select.poll()
        ready.register(self._connection, readiness)
        while True:
            spent_seconds = time.monotonic() - self._began_at
            if spent_seconds >= self._endpoint.patience_seconds or (
                spent_seconds >= HURRIED_PATIENCE_SECONDS and self._endpoint.others_wait()
            ):
                raise TimeoutError
            if ready.poll(LOOK_SECONDS * 1000):
                return


class _Request(BaseHTTPRequestHandler):
    """One request on a connection of its own."""

    server: Any
    server_version = "shardworker"
    sys_version = ""

    def setup(self) -> None:
        stream = _Stream(self.request, self.server)
        self.connection = self.request
        self.rfile = BufferedReader(stream)
        self.wfile = stream  # type: ignore[assignment]  # unbuffered, as the base class has it too

    def do_GET(self) -> None:
        page = self.server.page(self.path)
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        self.wfile.write(page.body)

    def log_message(self, *_: Any) -> None:
        """Requests are no events of ours."""
