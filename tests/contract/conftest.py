"""The queues of the conformance suite as fixtures."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

import pytest

from tests.support.memory_queue import memory_backend
from tests.support.postgresql import PostgreSQLServer, running_postgresql
from tests.support.queue_backends import (
    Backend,
    RealClock,
    ShiftedClock,
    moto_urls,
    postgresql_backend,
    rabbitmq_backend,
    redis_backend,
    sqlite_backend,
    stand_in_backend,
)
from tests.support.redis_server import RedisServer, running_redis
from tests.support.sqs_server import SqsServer
from worker.transports.base import Transport

BACKENDS = ["memory", "sql-sqlite", "sql-postgresql", "sqs-stand-in", "sqs-moto", "redis", "amqp"]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQLServer]:
    with running_postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture(scope="session")
def moto() -> Iterator[Callable[[str], str]]:
    with moto_urls() as url_of:
        yield url_of


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
def server(clock: ShiftedClock) -> Iterator[SqsServer]:
    with SqsServer(clock=clock) as server:
        yield server


@pytest.fixture
def backend(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Backend]:
    """A backend by name; every one of them, unless a test is marked as `not_on` it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    make: dict[str, Callable[[], AbstractContextManager[Backend]]] = {
        "sql-sqlite": lambda: nullcontext(sqlite_backend(tmp_path)),
        "sql-postgresql": lambda: nullcontext(postgresql_backend(request.getfixturevalue("postgresql"))),
        "redis": lambda: nullcontext(redis_backend(request.getfixturevalue("redis_server"))),
        "amqp": lambda: nullcontext(rabbitmq_backend(request.getfixturevalue("rabbitmq"))),
        "memory": lambda: nullcontext(memory_backend()),
        "sqs-stand-in": stand_in_backend,
        "sqs-moto": lambda: nullcontext(Backend(request.getfixturevalue("moto"), RealClock())),
    }
    with make[request.param]() as backend, closing(backend):
        yield backend


@pytest.fixture
def queue(backend: Backend) -> Transport:
    """An empty queue on the backend."""
    transport = backend.open()
    transport.create()
    return transport


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark of the tests that cannot run everywhere."""
    config.addinivalue_line("markers", "not_on(backend, why): the backend cannot keep this promise")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on every backend that it is not marked against."""
    if "backend" in metafunc.fixturenames:
        left_out = {mark.args[0] for mark in metafunc.definition.iter_markers("not_on")}
        backends = [backend for backend in BACKENDS if backend not in left_out]
        metafunc.parametrize("backend", backends, indirect=True)
