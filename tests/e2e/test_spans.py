"""Spans of a real worker: sent by OTLP to whoever the environment names."""

import signal
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.support.world import World, job

# By itself the library waits for 30 seconds.
SOON_SECONDS = 20
VARIABLES = {
    "SHARDWORKER__HANDLERS__MIDDLEWARE": '["worker.spans:PartSpans"]',
    "OTEL_SERVICE_NAME": "orders-worker",
}


class Collector(HTTPServer):
    """Takes what is posted to it; `posted` holds paths and bodies."""

    posted: list[tuple[str, bytes]]


class _Take(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.path, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(name="collector")
def start_collector() -> Iterator[Collector]:
    collector = Collector(("127.0.0.1", 0), _Take)
    collector.posted = []
    thread = threading.Thread(target=collector.serve_forever)
    thread.start()
    yield collector
    collector.shutdown()
    thread.join()
    collector.server_close()


def test_a_worker_that_leaves_has_sent_its_spans(world: World, collector: Collector) -> None:
    """Each part's, with its names; the answer and the rows are as ever."""
    endpoint = f"http://127.0.0.1:{collector.server_port}"
    world.send(job("traced", ["c-0", "c-1"], rows=[{"order_no": 1}]))
    worker = world.start_worker(
        **VARIABLES, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_COMPRESSION="none"
    )
    world.wait_until_settled()
    assert worker.stop() == 0

    assert {path for path, _ in collector.posted} == {"/v1/traces"}
    told = b"".join(body for _, body in collector.posted)
    assert told.count(b"process orders.insert") == 2
    assert all(name in told for name in (b"orders-worker", b"shardworker.customer", b"c-0", b"c-1"))
    assert [result["status"] for result in world.results()] == ["succeeded"]


@pytest.mark.parametrize("make_world", ["sql"], indirect=True)
def test_a_collector_that_is_silent_does_not_keep_a_worker_from_leaving(world: World) -> None:
    """It takes connections and answers nothing: the last spans have a few seconds, then they are lost."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        world.send(job("traced", ["c-0"], rows=[{"order_no": 1}]))
        worker = world.start_worker(
            **VARIABLES, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_TIMEOUT="60"
        )
        world.wait_until_settled()
        worker.signal(signal.SIGTERM)
        worker.wait_for_event("worker.stopped")
        stopped_at = time.monotonic()

        assert worker.wait() == 0
        assert time.monotonic() - stopped_at < SOON_SECONDS
    assert [result["status"] for result in world.results()] == ["succeeded"]
