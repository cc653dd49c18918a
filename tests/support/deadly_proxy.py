"""A TCP proxy that has a process killed while a certain request of it is under way."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum

CHUNK_BYTES = 65536


class Fate(StrEnum):
    """What becomes of the request whose sender was killed."""

    LOST = "lost"
    """The server never sees it, and loses the connection."""
    LATE = "late"
    """The server sees it later, when `let_go` says so; until then the connection stands."""
    LANDED = "landed"
    """The server had done it before, and its answer came to nobody."""


@dataclass(frozen=True)
class Trap:
    """Which request, by bytes that it holds, once `is_time`; what becomes of it; what kills the sender.

    A sender that is not killed loses its connection all the same.
    """

    request: bytes
    is_time: Callable[[], bool]
    fate: Fate
    kill: Callable[[], None]


class DeadlyProxy:
    """Forwards to a port of 127.0.0.1; the first request that its trap waits for is its sender's last."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._trap: Trap | None = None
        self._unheard: dict[socket.socket, threading.Event] = {}
        self._may_go = threading.Event()
        self._clients: set[socket.socket] = set()
        self.port: int = self._listener.getsockname()[1]

    def arm(self, trap: Trap) -> None:
        """Wait for the next such request."""
        self._trap = trap

    def let_go(self) -> None:
        """Let the server have the request that was kept back."""
        self._may_go.set()

    def connections(self) -> int:
        """How many connections there are; of each other one the server has seen the end."""
        return len(self._clients)

    def serve(self) -> None:
        """Accept connections until the proxy is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.add(client)
                threading.Thread(target=self._serve_client, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Accept no more connections, and keep nothing back."""
        self.let_go()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve_client(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._server_port)) as server:
            answers = threading.Thread(target=self._forward_answers, args=(client, server), daemon=True)
            answers.start()
            with suppress(OSError):
                self._forward_requests(client, server)
            with suppress(OSError):
                server.shutdown(socket.SHUT_WR)
            answers.join()
        self._clients.discard(client)

    def _forward_requests(self, client: socket.socket, server: socket.socket) -> None:
        while request := client.recv(CHUNK_BYTES):
            trap = self._trap
            if trap is not None and trap.request in request and trap.is_time():
                self._trap = None
                self._spring(trap, request, client, server)
                return
            server.sendall(request)

    def _spring(self, trap: Trap, request: bytes, client: socket.socket, server: socket.socket) -> None:
        if trap.fate is Fate.LANDED:
            self._answer_unheard(request, client, server)
        trap.kill()
        _cut(client)
        if trap.fate is Fate.LATE:
            self._may_go.wait()
            self._answer_unheard(request, client, server)

    def _answer_unheard(self, request: bytes, client: socket.socket, server: socket.socket) -> None:
        answered = threading.Event()
        self._unheard[server] = answered
        server.sendall(request)
        # a request may come in pieces: without its end there would be no answer
        threading.Thread(target=_forward_rest, args=(client, server), daemon=True).start()
        answered.wait()

    def _forward_answers(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while answer := server.recv(CHUNK_BYTES):
                if server in self._unheard:
                    break
                client.sendall(answer)
        if server in self._unheard:
            self._unheard.pop(server).set()
        else:
            _cut(client)


def _forward_rest(client: socket.socket, server: socket.socket) -> None:
    with suppress(OSError):
        while piece := client.recv(CHUNK_BYTES):
            server.sendall(piece)


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def deadly_proxy(port: int) -> Iterator[DeadlyProxy]:
    """A proxy before a port of 127.0.0.1."""
    proxy = DeadlyProxy(port)
    serving = threading.Thread(target=proxy.serve, daemon=True)
    serving.start()
    try:
        yield proxy
    finally:
        proxy.close()
        serving.join()
