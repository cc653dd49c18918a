"""What the process answers over HTTP: metrics, health, readiness, and how it stands."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec

from worker.metrics.state import State

TEXT: Final = "text/plain; charset=utf-8"
METRICS_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
JSON: Final = "application/json"


class Page(NamedTuple):
    """An answer."""

    status: HTTPStatus
    content_type: str
    body: bytes


class Pages:
    """The answers by path; `metrics` writes the metrics in Prometheus's form."""

    def __init__(self, state: State, metrics: Callable[[], bytes]) -> None:
        self._state = state
        self._metrics = metrics
        self._makers: dict[str, Callable[[], Page]] = {
            "/metrics": lambda: Page(HTTPStatus.OK, METRICS_TEXT, self._metrics()),
            "/healthz": self._health,
            "/readyz": self._readiness,
            "/status": lambda: Page(HTTPStatus.OK, JSON, msgspec.json.encode(self._state.status())),
        }

    def answer(self, path: str) -> Page:
        """The page of this path, whatever is asked of it behind a question mark."""
        maker = self._makers.get(path.partition("?")[0])
        if maker is None:
            known = " ".join(self._makers)
            return Page(HTTPStatus.NOT_FOUND, TEXT, f"There are: {known}\n".encode())
        return maker()

    def _health(self) -> Page:
        if self._state.moves:
            return Page(HTTPStatus.OK, TEXT, b"All threads move.\n")
        names = ", ".join(self._state.hanging()) or "the main thread"
        return Page(HTTPStatus.SERVICE_UNAVAILABLE, TEXT, f"Hangs: {names}.\n".encode())

    def _readiness(self) -> Page:
        if self._state.ready:
            return Page(HTTPStatus.OK, TEXT, b"Receives jobs.\n")
        return Page(HTTPStatus.SERVICE_UNAVAILABLE, TEXT, b"Leaves.\n")
