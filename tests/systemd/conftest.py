"""A booted systemd with the worker installed in it, and a world that its instances work in."""

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.sqs_server import SqsServer
from tests.support.systemd_box import Box, box_or_skip
from tests.support.systemd_world import SystemdWorld
from tests.support.world import ROOT, World

PYTHON = Path("/opt/python")
SITE_PACKAGES = Path("/opt/site-packages")
CHECKOUT = Path("/opt/checkout")
NOT_COPIED = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__")

MakeWorld = Callable[..., SystemdWorld]


@pytest.fixture(scope="session", name="wheel")
def build_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worker's wheel, built of a copy: building leaves files in a checkout."""
    place = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, place / "copy", ignore=NOT_COPIED)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", place, place / "copy"], check=True)
    (wheel,) = place.glob("*.whl")
    return wheel


@pytest.fixture(scope="session", name="box")
def boot(request: pytest.FixtureRequest) -> Iterator[Box]:
    """A systemd with the worker installed in it, as the version `old`."""
    binds = {
        Path(sys.base_prefix): PYTHON,
        Path(sysconfig.get_path("purelib")): SITE_PACKAGES,
        ROOT: CHECKOUT,
    }
    box = box_or_skip(binds)
    try:
        # The interpreter may lie in a home directory, which the units hide: it is used from another place.
        box.write("/etc/ld.so.conf.d/python.conf", f"{PYTHON}/lib\n")
        box.run("ldconfig")
        wheel = shutil.copy(request.getfixturevalue("wheel"), box.shared)
        install(box, wheel, "old")
        yield box
    finally:
        box.close()


@pytest.fixture(name="make_world")
def worlds(box: Box, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeWorld]:
    """Makes the test's world in the box's network: on the embedded queue, or on SQS with `sqs=True`."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    directory = box.shared / request.node.name
    directory.mkdir()
    made: list[SystemdWorld] = []
    with box.network():
        server = SqsServer().start()

        def url(queue: str, *, sqs: bool) -> str:
            if sqs:
                return f"sqs+{server.endpoint_url}/000000000000/{queue}"
            return f"sql://{directory}/queues.db?queue={queue}"

        def make(*, sqs: bool = False, **options: str) -> SystemdWorld:
            request, response, failure = (
                url(name, sqs=sqs) for name in ("requests", "responses", "failures")
            )
            made.append(SystemdWorld(box, World(directory, request, response, failure, options)))
            return made[0]

        yield make
        for world in made:
            world.close()
        server.stop()


@pytest.fixture(name="world")
def default_world(make_world: MakeWorld) -> SystemdWorld:
    """A world with the defaults, on the embedded queue."""
    return make_world()


def install(box: Box, wheel: str | Path, version: str) -> None:
    """Install the worker by the script in its wheel; its dependencies are those of the tests' environment."""
    variables = {
        "PYTHON": f"{PYTHON}/bin/python{sys.version_info.major}.{sys.version_info.minor}",
        "VERSION": version,
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
    }
    with ZipFile(wheel) as archive:
        archive.extractall(box.shared / "wheel")
    (script,) = box.shared.glob("wheel/*.data/data/share/shardworker/systemd/install.sh")
    box.run("sh", script, wheel, environment=variables)
    library = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = f"/opt/shardworker/versions/{version}/lib/{library}/site-packages"
    box.write(f"{packages}/tests.pth", f"{CHECKOUT}\n{SITE_PACKAGES}\n")
