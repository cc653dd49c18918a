"""A TCP proxy that counts round trips: how often a client sent something and waited for the answer."""

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK_BYTES = 65536


class CountingProxy:
    """Forwards to a port of 127.0.0.1; all that is sent before an answer comes is one round trip."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.round_trips = 0

    def serve(self) -> None:
        """Accept connections until the proxy is closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server_port))
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._forward, args=(client, server), daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        answered = True
        with client, server, selectors.DefaultSelector() as waiting:
            waiting.register(client, selectors.EVENT_READ, server)
            waiting.register(server, selectors.EVENT_READ, client)
            while True:
                for ready, _ in waiting.select():
                    source, sink = ready.fileobj, ready.data
                    data = source.recv(CHUNK_BYTES)  # type: ignore[union-attr]
                    if not data:
                        return
                    if source is client and answered:
                        self.round_trips += 1
                    answered = source is server
                    sink.sendall(data)


@contextmanager
def counting_proxy(port: int) -> Iterator[CountingProxy]:
    """A proxy before a port of 127.0.0.1."""
    proxy = CountingProxy(port)
    serving = threading.Thread(target=proxy.serve, daemon=True)
    serving.start()
    try:
        yield proxy
    finally:
        proxy.close()
        serving.join()
