"""Restarts under a real systemd while jobs come, to other versions and the same: nothing lost or doubled."""

import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.systemd_box import Box
from tests.support.systemd_world import SystemdWorld
from tests.support.world import HOMES, ROOT, SHARDS, job, wait_until
from tests.systemd.conftest import INTERPRETER, MakeWorld, borrow_packages

# It also installs the worker, twice.
pytestmark = pytest.mark.timeout(300)

NOT_COPIED = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__")
SWITCHES = ("new", "old", "old", "old", "old")
INSTANCES = (1, 2)


@pytest.fixture(name="wheel")
def build_wheel(tmp_path: Path) -> Path:
    """The worker's wheel, built of a copy: building leaves files in a checkout."""
    shutil.copytree(ROOT, tmp_path / "copy", ignore=NOT_COPIED)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, tmp_path / "copy"], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    return wheel


def install(box: Box, wheel: Path, version: str) -> None:
    """Install the worker by the script in its wheel."""
    copy = shutil.copy(wheel, box.shared)
    variables = {"PYTHON": INTERPRETER, "VERSION": version, "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1"}
    with ZipFile(wheel) as archive:
        archive.extractall(box.shared / "wheel")
    (script,) = box.shared.glob("wheel/*.data/data/share/shardworker/systemd/install.sh")
    box.run("sh", script, copy, environment=variables)
    borrow_packages(box, version)


def test_ten_restarts_among_them_an_upgrade_and_its_way_back_lose_and_double_nothing(
    make_world: MakeWorld, wheel: Path
) -> None:
    """Two instances change their version and back, and restart, one by one, while jobs come: each done once.

    Nothing is counted against any job, and none is on the failure queue.
    """
    world = make_world(sqs=True)
    install(world.box, wheel, "new")
    world.start(*INSTANCES)
    sent: list[str] = []
    before = "old"
    for version in SWITCHES:
        switch = world.box.start("shardworker-switch", version)
        while switch.poll() is None:
            sent += send_some(world, len(sent))
        told, complaints = switch.communicate()
        assert (switch.returncode, complaints) == (0, "")
        assert told.endswith(f"Instances start from {version}. Before: {before}\n")
        assert world.interpreter(1).startswith(f"/opt/shardworker/versions/{version}/")
        before = version
    world.world.wait_until_settled()

    assert Counter(result["job_id"] for result in world.world.results()) == Counter(sent)
    assert len(world.world.rows()) == len(sent)
    assert world.world.dead_letters() == []
    assert attempts(world) == 0
    assert [len(world.events(one, "worker.stopped")) for one in INSTANCES] == [len(SWITCHES)] * 2


def attempts(world: SystemdWorld) -> int:
    """How many attempts all shards' inboxes have counted."""
    counted = 0
    for shard in SHARDS:
        with closing(sqlite3.connect(world.world.directory / f"{shard}.db")) as connection:
            counted += connection.execute("SELECT total(attempt) FROM shardworker_inbox").fetchone()[0]
    return counted


def send_some(world: SystemdWorld, first: int) -> list[str]:
    """Send three jobs, and wait until no more than a few are in the queue or in hand."""
    customers = list(HOMES)
    jobs = [
        job(f"j{number}", [customers[number % len(customers)]], rows=[{"order_no": number}])
        for number in range(first, first + 3)
    ]
    world.world.send(*jobs)
    wait_until(lambda: sum(world.world.request.depth()) < 6, "the workers to keep up", 0.1)
    return [one["job_id"] for one in jobs]
