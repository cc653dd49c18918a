"""A server on a thread of its own, for as long as a `with` lasts."""

import threading
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import Self

LOOK_SECONDS = 0.02
"""How soon it notices that it is to end."""


class Serving:
    """Serves requests between `__enter__` and `__exit__`."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(LOOK_SECONDS,), daemon=True)

    @property
    def endpoint_url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
