"""A fake instance metadata service on 127.0.0.1: it asks for tokens; the test sets values and faults."""

import json
import threading
from collections import Counter
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.serving import Serving

INSTANCE_ID = "i-0123456789abcdef0"
REGION = "eu-west-1"
STATE = "autoscaling/target-lifecycle-state"
SPOT = "spot/instance-action"
REBALANCE = "events/recommendations/rebalance"
ROOT = "/latest/meta-data/"


class FakeMetadata(Serving):
    """The service, in a thread of its own, as a context manager. What is not among `values` is a 404.

    `reads` counts the values asked for with a good token; `tokens` those that are good at the moment.
    While `answers` is not set, requests wait for that.
    """

    def __init__(self) -> None:
        self.values: dict[str, str] = {"instance-id": INSTANCE_ID, "placement/region": REGION}
        self.reads: Counter[str] = Counter()
        self.tokens: set[str] = set()
        self.tokens_given = 0
        self.is_switched_off = False
        self.answers = threading.Event()
        self.answers.set()
        self._failing: Counter[str] = Counter()
        super().__init__(ThreadingHTTPServer(("127.0.0.1", 0), lambda *given: Handler(self, *given)))

    def aim_at(self, state: str) -> None:
        """The group's target state for the machine."""
        self.values[STATE] = state

    def announce_interruption(self, time: datetime, action: str = "terminate") -> None:
        """A spot interruption notice."""
        notice = {"action": action, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ")}
        self.values[SPOT] = json.dumps(notice)

    def recommend_rebalance(self, time: datetime) -> None:
        """A rebalance recommendation."""
        self.values[REBALANCE] = json.dumps({"noticeTime": time.strftime("%Y-%m-%dT%H:%M:%SZ")})

    def fail(self, path: str, times: int) -> None:
        """Answer the next reads of this value with status 500."""
        self._failing[path] += times

    def forget_tokens(self) -> None:
        """No token that was given is good any more."""
        self.tokens.clear()

    def answer(self, method: str, path: str, headers: Any) -> tuple[int, str]:
        """The status and text for one request."""
        if method == "PUT":
            return self._give_token(headers)
        if headers.get("X-aws-ec2-metadata-token") not in self.tokens:
            return 401, ""
        name = path.removeprefix(ROOT)
        self.reads[name] += 1
        if self._failing[name] > 0:
            self._failing[name] -= 1
            return 500, "<html>try again</html>"
        return (200, self.values[name]) if name in self.values else (404, "<html>not found</html>")

    def _give_token(self, headers: Any) -> tuple[int, str]:
        if self.is_switched_off:
            return 403, ""
        if not 1 <= int(headers.get("X-aws-ec2-metadata-token-ttl-seconds", 0)) <= 21600:
            return 400, ""
        self.tokens_given += 1
        token = f"token-{self.tokens_given}"
        self.tokens.add(token)
        return 200, token


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def __init__(self, metadata: FakeMetadata, *given: Any) -> None:
        self._metadata = metadata
        super().__init__(*given)

    def do_GET(self) -> None:
        """A value is asked for."""
        self._answer("GET")

    def do_PUT(self) -> None:
        """A token is asked for."""
        self._answer("PUT")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's own name for it
        """Be silent."""

    def _answer(self, method: str) -> None:
        self._metadata.answers.wait()
        status, text = self._metadata.answer(method, self.path, self.headers)
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
