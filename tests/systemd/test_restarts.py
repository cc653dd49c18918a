"""Restarts under a real systemd while jobs come, to other versions and the same: nothing lost or doubled."""

import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.e2e.test_once import go_on, slow_job, wait_for_start
from tests.support.systemd_box import Box
from tests.support.systemd_world import SystemdWorld, unit
from tests.support.world import HOMES, PATIENCE_SECONDS, ROOT, SHARDS, job, wait_until
from tests.systemd.conftest import INTERPRETER, MakeWorld, borrow_packages

# It also installs the worker, twice.
pytestmark = pytest.mark.timeout(300)

NOT_COPIED = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__")
NEWER = "99.0"
SWITCHES = (NEWER, "old", "old", "old", "old")
INSTANCES = (1, 2)
STOP_SECONDS = 4


@pytest.fixture(name="wheel")
def build_wheel(tmp_path: Path) -> Path:
    """The wheel of a newer version, built of a copy: building leaves files in a checkout."""
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    setup = copy / "setup.cfg"
    text = re.sub(r"(?m)^version = .*$", f"version = {NEWER}", setup.read_text(encoding="utf-8"))
    setup.write_text(text, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, copy], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    return wheel


def install(box: Box, wheel: Path) -> None:
    """Install the newer version by the script in its wheel, under its own name."""
    copy = shutil.copy(wheel, box.shared)
    variables = {"PYTHON": INTERPRETER, "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1"}
    with ZipFile(wheel) as archive:
        archive.extractall(box.shared / "wheel")
    (script,) = box.shared.glob("wheel/*.data/data/share/shardworker/systemd/install.sh")
    box.run("sh", script, copy, environment=variables)
    borrow_packages(box, NEWER)


def test_a_restart_amid_a_long_job_waits_for_its_end_beyond_the_time_for_a_stop(
    make_world: MakeWorld,
) -> None:
    """While its drain gets on, the instance asks for more time: the job runs once, and nothing is counted.

    So it is with the jobs that come meanwhile.
    """
    world = make_world(drain="2m")
    world.use(f"TimeoutStopSec={STOP_SECONDS}s\n")
    world.start(1)
    world.world.send(slow_job(world.world, "slow", ["c-0"], 1_000))
    wait_for_start(world.world)
    process = world.main_pid(1)
    restart = world.box.start("systemctl", "restart", unit(1))
    world.wait_for(1, SubState="stop-sigterm")
    killed_at = time.monotonic() + STOP_SECONDS
    sent = ["slow", *send_some(world, 0)]
    wait_until(lambda: time.monotonic() > killed_at + 1, "the time for a stop to be over", 0.1)
    assert (restart.poll(), world.main_pid(1)) == (None, process)
    go_on(world.world)
    assert restart.communicate(timeout=PATIENCE_SECONDS) == ("", "")
    world.world.wait_until_settled()

    assert world.events(1, "worker.stopped")[0]["abandoned"] == 0
    assert len(list(world.world.directory.glob("started.*"))) == 1
    assert Counter(result["job_id"] for result in world.world.results()) == Counter(sent)
    assert len(world.world.rows()) == len(sent)
    assert attempts(world) == 0


def test_ten_restarts_among_them_an_upgrade_and_its_way_back_lose_and_double_nothing(
    make_world: MakeWorld, wheel: Path
) -> None:
    """Two instances change their version and back, and restart, one by one, while jobs come: each done once.

    At first only one runs the newer version, and both work. Nothing is counted against any job, and none is
    on the failure queue.
    """
    world = make_world(sqs=True)
    install(world.box, wheel)
    world.start(*INSTANCES)
    sent: list[str] = []
    world.box.run("ln", "-sfn", f"versions/{NEWER}", "/opt/shardworker/current")
    world.box.run("systemctl", "restart", unit(1))
    while not {NEWER} < jobs_by_version(world).keys():
        sent += send_some(world, len(sent))
    before = NEWER
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
    restarts = [len(world.events(one, "worker.stopped")) for one in INSTANCES]
    assert restarts == [1 + len(SWITCHES), len(SWITCHES)]


def jobs_by_version(world: SystemdWorld) -> Counter[str]:
    """How many jobs were done by each version, as its processes told of themselves."""
    done: Counter[str] = Counter()
    for instance in INSTANCES:
        version = ""
        for line in world.log(instance):
            version = line.get("version", version)
            done[version] += line["event"] == "job.done"
    return +done


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
