"""The queues of the conformance suite as fixtures."""

from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from tests.support.fakes import memory_backend
from tests.support.postgresql import PostgreSQLServer, running_postgresql
from tests.support.queue_backends import (
    Backend,
    RealClock,
    moto_urls,
    postgresql_backend,
    sqlite_backend,
    stand_in_backend,
)
from worker.transports.base import Transport

STRICT = ["memory", "sql-sqlite", "sql-postgresql", "sqs-stand-in"]
ALL = [*STRICT, "sqs-moto"]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQLServer]:
    with running_postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def moto() -> Iterator[Callable[[str], str]]:
    with moto_urls() as url_of:
        yield url_of


@pytest.fixture
def backend(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Backend]:
    """A backend by name; every one of them, unless a test names those that it runs on."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    make = {
        "sql-sqlite": lambda: nullcontext(sqlite_backend(tmp_path)),
        "sql-postgresql": lambda: nullcontext(postgresql_backend(request.getfixturevalue("postgresql"))),
        "memory": lambda: nullcontext(memory_backend()),
        "sqs-stand-in": stand_in_backend,
        "sqs-moto": lambda: nullcontext(Backend(request.getfixturevalue("moto"), RealClock())),
    }[request.param]
    with make() as backend, closing(backend):
        yield backend


@pytest.fixture
def queue(backend: Backend) -> Transport:
    """An empty queue on the backend."""
    transport = backend.open()
    transport.create()
    return transport


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark of the tests that moto cannot pass."""
    config.addinivalue_line("markers", "moto_is_wrong(why): not run on moto, whose SQS differs from AWS here")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on every backend; on moto only where moto is right."""
    if "backend" in metafunc.fixturenames:
        left_out = metafunc.definition.get_closest_marker("moto_is_wrong")
        metafunc.parametrize("backend", STRICT if left_out else ALL, indirect=True)
