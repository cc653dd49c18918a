"""A TCP proxy that loses the answer to one request: the way a network loses the answer to a COMMIT."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK_BYTES = 65536


class LossyProxy:
    """Forwards to a server until it is told which request's answer to lose.

    The request is forwarded and its answer is awaited, so that the server has done it; then the connection
    to the client is cut.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lose_answer_to: bytes | None = None
        self.port: int = self._listener.getsockname()[1]

    def lose_answer_to(self, request: bytes) -> None:
        """Lose the answer to the next request that holds these bytes."""
        self._lose_answer_to = request

    def serve(self) -> None:
        """Accept connections until the proxy is closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server_port))
            threading.Thread(target=self._forward_requests, args=(client, server), daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _forward_requests(self, client: socket.socket, server: socket.socket) -> None:
        answers = threading.Thread(target=self._forward_answers, args=(client, server), daemon=True)
        answers.start()
        with client, server:
            while request := _receive(client):
                losing = self._lose_answer_to is not None and self._lose_answer_to in request
                if losing:
                    client.shutdown(socket.SHUT_WR)
                    self._lose_answer_to = None
                server.sendall(request)
                if losing:
                    server.shutdown(socket.SHUT_WR)
                    answers.join()
                    return

    def _forward_answers(self, client: socket.socket, server: socket.socket) -> None:
        while answer := _receive(server):
            try:
                client.sendall(answer)
            except OSError:
                continue  # the client's side was cut: the server is heard to its end all the same


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(CHUNK_BYTES)
    except OSError:
        return b""


@contextmanager
def lossy_proxy(port: int) -> Iterator[LossyProxy]:
    """A proxy before a port of 127.0.0.1."""
    proxy = LossyProxy(port)
    serving = threading.Thread(target=proxy.serve, daemon=True)
    serving.start()
    try:
        yield proxy
    finally:
        proxy.close()
        serving.join()
