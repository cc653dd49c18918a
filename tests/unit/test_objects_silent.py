"""Buckets whose server is silent or hangs up: an error of the store's own kind, each time."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from worker.objects import ObjectError
from worker.objects.s3 import S3Store

Serve = Callable[[socket.socket], None]


def be_silent(connection: socket.socket) -> None:
    """Read, and say nothing until the other side has had enough."""
    with suppress(OSError):
        while connection.recv(65536):
            pass


def close(connection: socket.socket) -> None:
    """Read a little, and hang up."""
    connection.recv(10)


@contextmanager
def serving(serve: Serve) -> Iterator[str]:
    """A server on 127.0.0.1 that does this with each connection; its URL."""

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=_serve_and_close, args=(serve, connection), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def _serve_and_close(serve: Serve, connection: socket.socket) -> None:
    with connection, suppress(OSError):
        serve(connection)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that nobody checks, and little patience."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setattr("worker.objects.s3.READ_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr("worker.objects.s3.TRIES", 1)


def read(store: S3Store) -> object:
    """Open an object."""
    with store.open("bucket", "key") as stream:
        return stream.read()


@pytest.mark.parametrize("serve", [be_silent, close])
def test_a_bucket_that_gives_no_answer_is_unavailable(serve: Serve) -> None:
    """Whatever is done with it: the message waits, and no thread dies of it."""
    with serving(serve) as url:
        store = S3Store(region="eu-west-1", endpoint_url=url)
        with pytest.raises(ObjectError):
            store.put("bucket", "key", b"x")
        with pytest.raises(ObjectError):
            read(store)
        assert len(store.check("bucket")) == 1
        store.close()
