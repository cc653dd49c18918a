"""The soak's buckets: as much of S3 over HTTP as the worker asks for, with requests that fail."""

import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from tests.soak.fate import ObjectFates, ObjectTrouble
from tests.support.serving import Serving

SLOW_SECONDS: Final = 0.5
REFUSALS: Final[dict[ObjectTrouble, tuple[int, str]]] = {
    "slow down": (503, "SlowDown"),
    "internal": (500, "InternalError"),
}


class Buckets(Serving):
    """Objects by bucket and key, at `endpoint_url`."""

    def __init__(self, seed: int) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.fates = ObjectFates(seed)
        self.troubles: Counter[str] = Counter()
        super().__init__(QuietServer(("127.0.0.1", 0), self._handler()))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        buckets = self

        class Handler(ObjectHandler):
            def trouble(self, key: str) -> ObjectTrouble | None:
                found = buckets.fates.next(key)
                if found is not None:
                    buckets.troubles[found] += 1
                return found

            def find(self, bucket: str, key: str) -> bytes | None:
                return buckets.objects.get((bucket, key))

        return Handler


class QuietServer(ThreadingHTTPServer):
    """Says nothing of clients that are killed amid a request."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


class ObjectHandler(BaseHTTPRequestHandler):
    """One client's connection."""

    protocol_version = "HTTP/1.1"

    def trouble(self, key: str) -> ObjectTrouble | None:
        """What goes wrong with the next request for the key."""
        raise NotImplementedError

    def find(self, bucket: str, key: str) -> bytes | None:
        """The object's bytes, if there is one."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Answer with the object, or with what goes wrong."""
        bucket, _, key = self.path.partition("?")[0].lstrip("/").partition("/")
        trouble = self.trouble(key)
        data = self.find(bucket, key)
        if trouble in REFUSALS:
            self._refuse(*REFUSALS[trouble])
        elif trouble == "drop":
            self.close_connection = True
        elif data is None:
            self._refuse(404, "NoSuchKey")
        else:
            if trouble == "slow":
                time.sleep(SLOW_SECONDS)
            self._give(data, cut_short=trouble == "cut short")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own name
        """Say nothing."""

    def _give(self, data: bytes, *, cut_short: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut_short else data)
        self.close_connection |= cut_short

    def _refuse(self, status: int, code: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>as the soak says</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
