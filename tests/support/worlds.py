"""Worlds as fixtures, on the embedded queue and on SQS: for tests that run the daemon as a process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.sqs_server import SqsServer
from tests.support.world import World

MakeWorld = Callable[..., World]


@contextmanager
def embedded(directory: Path, **options: str) -> Iterator[World]:
    """A world on the embedded queue; options go into its configuration. It is closed at the end."""
    queue = f"sql://{directory}/queues.db?queue"
    world = World(directory, f"{queue}=requests", f"{queue}=responses", f"{queue}=failures", options)
    yield world
    world.close()


@pytest.fixture(params=["sql", "sqs"])
def make_world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeWorld]:
    """Makes the test's world, on each transport in turn; options go into its configuration."""
    worlds: list[World] = []
    server = SqsServer().start() if request.param == "sqs" else None
    for name, value in {"ID": "test", "KEY": "test"}.items():
        monkeypatch.setenv(f"AWS_{'ACCESS_KEY_ID' if name == 'ID' else 'SECRET_ACCESS_KEY'}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")

    def url(queue: str) -> str:
        if server is None:
            return f"sql://{tmp_path}/queues.db?queue={queue}"
        return f"sqs+{server.endpoint_url}/000000000000/{queue}"

    def make(**options: str) -> World:
        world = World(tmp_path, url("requests"), url("responses"), url("failures"), options)
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        world.close()
    if server is not None:
        server.stop()


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A world with the defaults."""
    return make_world()


@pytest.fixture
def embedded_world(tmp_path: Path) -> Iterator[World]:
    """A world with the defaults on the embedded queue alone: for what no transport has a part in."""
    with embedded(tmp_path) as world:
        yield world
