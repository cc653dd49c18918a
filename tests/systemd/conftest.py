"""A booted systemd with the worker installed in it, and a world that its instances work in."""

import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.sqs_server import SqsServer
from tests.support.systemd_box import Box, box_or_skip
from tests.support.systemd_world import SystemdWorld
from tests.support.world import ROOT, World

PYTHON = Path("/opt/python")
SITE_PACKAGES = Path("/opt/site-packages")
CHECKOUT = Path("/opt/checkout")
VERSIONS = "/opt/shardworker/versions"
LIBRARY = f"python{sys.version_info.major}.{sys.version_info.minor}"
INTERPRETER = f"{PYTHON}/bin/{LIBRARY}"

MakeWorld = Callable[..., SystemdWorld]


@pytest.fixture(scope="session", name="stage")
def install_below_another_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make install` makes of this checkout, as the version `old`, without the worker's dependencies.

    Once for all processes that run tests: it takes some ten seconds.
    """
    own = tmp_path_factory.getbasetemp()
    place = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    stage = place / "stage"
    with (place / "stage.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (stage / "opt/shardworker/current").is_symlink():
            stage.mkdir(exist_ok=True)
            stage.chmod(0o755)
            make("install", DESTDIR=stage, VERSION="old")
    return stage


@pytest.fixture(scope="session", name="box")
def boot_with_worker(stage: Path) -> Iterator[Box]:
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
        unpack(box, stage)
        box.run("sh", "-c", f"cd {VERSIONS}/old && ln -sf {INTERPRETER} bin/python && rm bin/python3*")
        box.run("sed", "-i", f"s|^home = .*|home = {PYTHON}/bin|", f"{VERSIONS}/old/pyvenv.cfg")
        borrow_packages(box, "old")
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


def unpack(box: Box, stage: Path) -> None:
    """Put the installation into the box, and do what a packager does after that."""
    shutil.copytree(stage, box.path("/"), symlinks=True, dirs_exist_ok=True)
    box.run("systemd-sysusers")
    box.run("systemd-tmpfiles", "--create", "/usr/local/lib/tmpfiles.d/shardworker.conf")
    box.run("systemctl", "daemon-reload")


def borrow_packages(box: Box, version: str) -> None:
    """Let an installed version find the worker's dependencies in the tests' environment."""
    packages = f"{VERSIONS}/{version}/lib/{LIBRARY}/site-packages"
    box.write(f"{packages}/tests.pth", f"{CHECKOUT}\n{SITE_PACKAGES}\n")


def make(target: str, **variables: str | Path) -> None:
    """Run a target of the Makefile that has to succeed."""
    done = try_to_make(target, **variables)
    assert done.returncode == 0, done.stdout + done.stderr


def try_to_make(target: str, **variables: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a target of the Makefile, however it ends."""
    assignments = [f"{name}={value}" for name, value in {"PYTHON": sys.executable, **variables}.items()]
    return subprocess.run(
        ["make", "--no-print-directory", "--silent", "-C", ROOT, target, *assignments],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PIP_NO_DEPS": "1"},
    )
