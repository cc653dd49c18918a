"""The small HTTP server: whoever asks gets an answer, and who misbehaves gets none and does no harm."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from config.settings import Metrics
from tests.support.private_server import free_ports
from worker.metrics.endpoint import (
    HURRIED_PATIENCE_SECONDS,
    THREADS,
    Endpoint,
    listen_on_path,
    listen_on_port,
)
from worker.metrics.pages import TEXT, Page
from worker.metrics.service import read_listen

PATIENCE_SECONDS = 60.0
DRIP_SECONDS = 0.02
DRIPS_MAXIMUM = 1500


def page(path: str) -> Page:
    """A page for any path but one, at which there is a defect."""
    if path == "/defect":
        raise RuntimeError("a defect")
    return Page(HTTPStatus.OK, TEXT, f"{path} {threading.current_thread().name}".encode())


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint(listen_on_port("127.0.0.1", [0]), page)
    endpoint.start()
    yield endpoint
    endpoint.close()


@contextmanager
def patient_endpoint(answer: Callable[[str], Page]) -> Iterator[Endpoint]:
    """One that gives everybody a minute."""
    endpoint = Endpoint(listen_on_port("127.0.0.1", [0]), answer, patience=timedelta(minutes=1))
    endpoint.start()
    with closing(endpoint):
        yield endpoint


def port_of(endpoint: Endpoint) -> int:
    return int(endpoint.address.rpartition(":")[2])


def get(
    endpoint: Endpoint, path: str, method: str = "GET", patience_seconds: float = PATIENCE_SECONDS
) -> tuple[int, str]:
    with closing(HTTPConnection("127.0.0.1", port_of(endpoint), timeout=patience_seconds)) as connection:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()


def test_each_request_is_answered(endpoint: Endpoint) -> None:
    """From threads that say what they are for."""
    status, body = get(endpoint, "/metrics")
    assert status == 200
    assert body.startswith("/metrics metrics-")


def test_nothing_but_a_look_is_allowed(endpoint: Endpoint) -> None:
    """There is nothing to change here."""
    assert get(endpoint, "/metrics", "POST")[0] == HTTPStatus.NOT_IMPLEMENTED


def test_who_asks_nothing_does_not_keep_others_from_it(endpoint: Endpoint) -> None:
    """One fewer than it has threads, connected and silent."""
    silent = [
        socket.create_connection(("127.0.0.1", port_of(endpoint)), PATIENCE_SECONDS)
        for _ in range(THREADS - 1)
    ]
    assert get(endpoint, "/metrics")[0] == 200
    for connection in silent:
        connection.close()
    assert get(endpoint, "/metrics")[0] == 200


@pytest.mark.parametrize("start", [b"", b"GET /metrics HTTP/1.1\r\nX: "])
def test_slow_ones_do_not_keep_others_from_an_answer(start: bytes) -> None:
    """More than it has threads, each with a minute to ask in: while others wait, it has half a second."""
    with patient_endpoint(page) as patient, ExitStack() as stack:
        for _ in range(2 * THREADS):
            slow = socket.create_connection(("127.0.0.1", port_of(patient)), PATIENCE_SECONDS)
            stack.enter_context(slow).sendall(start)
        assert get(patient, "/healthz", patience_seconds=PATIENCE_SECONDS / 2)[0] == 200


def test_a_slow_taker_of_an_answer_does_not_keep_others_from_theirs() -> None:
    """An answer that does not fit into the buffers between them, and nobody reads it."""
    long = Page(HTTPStatus.OK, TEXT, b"x" * 64 * 2**20)
    pages = {"/long": long, "/healthz": page("/healthz")}
    with patient_endpoint(pages.__getitem__) as patient, ExitStack() as stack:
        for _ in range(THREADS):
            slow = socket.create_connection(("127.0.0.1", port_of(patient)), PATIENCE_SECONDS)
            stack.enter_context(slow).sendall(b"GET /long HTTP/1.0\r\n\r\n")
        assert get(patient, "/healthz", patience_seconds=PATIENCE_SECONDS / 2)[0] == 200


def test_a_slow_one_has_its_time_while_nobody_waits_in_vain() -> None:
    """The other thread answers the others meanwhile."""
    with (
        patient_endpoint(page) as patient,
        socket.create_connection(("127.0.0.1", port_of(patient)), PATIENCE_SECONDS) as slow,
    ):
        slow.sendall(b"GET /slow HTTP/1.0\r\n")
        time.sleep(2 * HURRIED_PATIENCE_SECONDS)
        assert get(patient, "/metrics")[0] == 200
        slow.sendall(b"\r\n")
        assert slow.recv(1000).startswith(b"HTTP/1.0 200")


def is_dropped_while_it_drips(connection: socket.socket) -> bool:
    """Whether who sends a request byte by byte, never to its end, is dropped."""
    connection.settimeout(DRIP_SECONDS)
    for _ in range(DRIPS_MAXIMUM):
        try:
            connection.send(b"E")
            if not connection.recv(1):
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


@pytest.mark.parametrize("start", [b"G", b"GET /metrics HTTP/1.1\r\nX: "])
def test_who_asks_byte_by_byte_is_dropped(start: bytes) -> None:
    """Though each byte comes in time: it is the whole request that has to. Then others are answered."""
    patient = Endpoint(listen_on_port("127.0.0.1", [0]), page, patience=timedelta(seconds=0.2))
    patient.start()
    with closing(patient):
        slow = [
            socket.create_connection(("127.0.0.1", port_of(patient)), PATIENCE_SECONDS)
            for _ in range(THREADS)
        ]
        for connection in slow:
            connection.sendall(start)
        dropped = [is_dropped_while_it_drips(connection) for connection in slow]
        for connection in slow:
            connection.close()
        assert dropped == [True] * THREADS
        assert get(patient, "/metrics")[0] == 200


def test_what_is_no_http_is_dropped(endpoint: Endpoint) -> None:
    """And the next is answered."""
    for _ in range(THREADS + 1):
        with socket.create_connection(("127.0.0.1", port_of(endpoint)), PATIENCE_SECONDS) as connection:
            connection.sendall(b"\x00\xff\n\n")
            connection.recv(1000)
    assert get(endpoint, "/metrics")[0] == 200


def test_a_defect_is_logged_once_and_the_next_is_answered(endpoint: Endpoint) -> None:
    """With where it is, and not at each scrape."""
    with capture_logs() as lines:
        for _ in range(THREADS + 1):
            with pytest.raises(ConnectionError):
                get(endpoint, "/defect")
        assert get(endpoint, "/metrics")[0] == 200
    assert [(line["event"], line["address"]) for line in lines] == [
        ("worker.metrics_failed", endpoint.address)
    ]


def test_a_closed_endpoint_s_threads_end() -> None:
    """Though they wait for somebody to ask."""
    endpoint = Endpoint(listen_on_port("127.0.0.1", [0]), page)
    before = set(threading.enumerate())
    endpoint.start()
    threads = set(threading.enumerate()) - before
    endpoint.close()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert [thread.is_alive() for thread in threads] == [False] * THREADS


def test_the_first_free_port_is_taken() -> None:
    """Without one there is an error."""
    first, second = free_ports(2)
    with listen_on_port("127.0.0.1", [first]), listen_on_port("127.0.0.1", [first, second]) as found:
        assert found.getsockname()[1] == second
        with pytest.raises(OSError, match="in use"):
            listen_on_port("127.0.0.1", [first, second])


def test_a_socket_that_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    """Process ids come again."""
    path = tmp_path / "workers" / "1.sock"
    listen_on_path(path).close()
    endpoint = Endpoint(listen_on_path(path), page)
    endpoint.start()
    with socket.socket(socket.AF_UNIX) as asker:
        asker.settimeout(PATIENCE_SECONDS)
        asker.connect(str(path))
        asker.sendall(b"GET /status HTTP/1.0\r\n\r\n")
        assert asker.recv(1000).startswith(b"HTTP/1.0 200")
    assert endpoint.address == str(path)
    assert path.stat().st_mode & 0o777 == 0o660
    endpoint.close()


@pytest.mark.parametrize(
    ("listen", "read"),
    [
        ("127.0.0.1:9400", ("127.0.0.1", range(9400, 9401))),
        ("localhost:9400-9402", ("localhost", range(9400, 9403))),
        ("[::1]:9400", ("::1", range(9400, 9401))),
    ],
)
def test_an_address_is_read(listen: str, read: tuple[str, range]) -> None:
    """As the configuration takes it."""
    assert Metrics(listen=listen).listen == listen
    assert read_listen(listen) == read


@pytest.mark.parametrize("listen", ["9400", ":9400", "127.0.0.1", "127.0.0.1:x", "h:9400", "127.0.0.1:1-"])
def test_what_is_no_address_is_refused(listen: str) -> None:
    """By the configuration, before anything starts."""
    with pytest.raises(ValidationError):
        Metrics(listen=listen)
