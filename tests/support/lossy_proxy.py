"""A TCP proxy that loses requests, answers and connections, the way a network does."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK_BYTES = 65536


class LossyProxy:
    """Forwards to the server on `server_port` of 127.0.0.1 until it is told what to lose.

    `server_port` can be changed: new connections then lead to the other server.
    """

    def __init__(self, port: int) -> None:
        self.server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lose_answer_to: bytes | None = None
        self._lose_request: bytes | None = None
        self._clients: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]

    def lose_answer_to(self, request: bytes) -> None:
        """Lose the answer to the next request that holds these bytes.

        The request is forwarded and its answer is awaited, so that the server has done it; then the
        connection to the client is cut.
        """
        self._lose_answer_to = request

    def lose_request(self, request: bytes) -> None:
        """Lose the next request that holds these bytes, unseen by the server, and the connection with it."""
        self._lose_request = request

    def cut(self) -> None:
        """Cut the connections that there are."""
        for client in self._clients:
            _shut(client, socket.SHUT_RDWR)
        self._clients.clear()

    def serve(self) -> None:
        """Accept connections until the proxy is closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_client, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve_client(self, client: socket.socket) -> None:
        with client:
            try:
                server = socket.create_connection(("127.0.0.1", self.server_port))
            except OSError:
                return
            self._clients.append(client)
            self._forward_requests(client, server)

    def _forward_requests(self, client: socket.socket, server: socket.socket) -> None:
        answers = threading.Thread(target=self._forward_answers, args=(client, server), daemon=True)
        answers.start()
        with server:
            while request := _receive(client):
                if self._lose_request is not None and self._lose_request in request:
                    self._lose_request = None
                    break
                losing = self._lose_answer_to is not None and self._lose_answer_to in request
                if losing:
                    client.shutdown(socket.SHUT_WR)
                    self._lose_answer_to = None
                server.sendall(request)
                if losing:
                    server.shutdown(socket.SHUT_WR)
                    answers.join()
                    return
            # closing alone does not end it while the other thread reads from it
            _shut(server, socket.SHUT_RDWR)

    def _forward_answers(self, client: socket.socket, server: socket.socket) -> None:
        while answer := _receive(server):
            try:
                client.sendall(answer)
            except OSError:
                continue  # the client's side was cut: the server is heard to its end all the same
        _shut(client, socket.SHUT_RDWR)


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(CHUNK_BYTES)
    except OSError:
        return b""


def _shut(connection: socket.socket, side: int) -> None:
    try:
        connection.shutdown(side)
    except OSError:
        return  # it was closed before


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
