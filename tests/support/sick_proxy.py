"""A TCP proxy before a database that can fall ill: it refuses connections, or is silent to all."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.support.private_server import free_port

CHUNK_BYTES = 65536


class SickProxy:
    """Forwards to a port of 127.0.0.1, until it is told to be ill; its own port stays the same.

    `refuse`: nobody listens, what was connected is cut. `swallow`: a listener whose backlog is full answers
    nothing, so that connecting takes until the client's own time-out, and what was connected falls silent.
    `heal`: all is well again, and what had fallen silent goes on.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._flowing = threading.Event()
        self._flowing.set()
        self._connections: set[socket.socket] = set()
        self._hole: list[socket.socket] = []
        self.port = free_port()
        self._listener = self._listen()

    def refuse(self) -> None:
        """Let nobody in any more, and cut what is connected."""
        self._stop_listening()
        self.cut()

    def swallow(self) -> None:
        """Fall silent towards everybody."""
        self._flowing.clear()
        self._stop_listening()
        hole = _bound(self.port)
        hole.listen(0)
        fillers = [socket.socket() for _ in range(2)]
        for filler in fillers:
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect(("127.0.0.1", self.port))
        self._hole = [hole, *fillers]

    def cut(self) -> None:
        """Cut every connection that is there, as the operating system does that hears nothing for long."""
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._flowing.set()

    def heal(self) -> None:
        """Forward again."""
        for one in self._hole:
            one.close()
        self._hole = []
        self._flowing.set()
        self._listener = self._listen()

    def close(self) -> None:
        """End everything."""
        self._stop_listening()
        for one in self._hole:
            one.close()
        self.cut()

    def _listen(self) -> socket.socket:
        listener = _bound(self.port)
        listener.listen()
        threading.Thread(target=self._serve, args=(listener,), daemon=True).start()
        return listener

    def _stop_listening(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                client.close()
                continue
            self._connections |= {client, server}
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(CHUNK_BYTES):
                self._flowing.wait()
                sink.sendall(chunk)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
        self._connections.discard(source)
        source.close()


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


@contextmanager
def sick_proxy(target_port: int) -> Iterator[SickProxy]:
    """A proxy before a port of 127.0.0.1."""
    proxy = SickProxy(target_port)
    try:
        yield proxy
    finally:
        proxy.close()
