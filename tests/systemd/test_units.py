"""The unit files and their installation: what systemd says of them, and what stands where afterwards."""

import re
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from config.settings import Worker
from tests.support.systemd_box import Box, box_or_skip
from tests.support.world import ROOT
from tests.systemd.conftest import make, try_to_make, unpack
from worker.drain import LEAVING_SECONDS
from worker.log_writer import LAST_LINES_SECONDS
from worker.spans import LAST_SPANS_SECONDS

# The first one also installs the worker.
pytestmark = pytest.mark.timeout(300)

UNITS = "/usr/local/lib/systemd/system"
INSTALLED = ("shardworker@1.service", "shardworker.target", "shardworker-ec2.service")
SERVICES = ("shardworker@.service", "shardworker-ec2.service")
SCORE_MAXIMUM = 1.5
SLEEPS = "Type=exec\nExecStart=\nExecStart=/bin/sleep infinity"


@pytest.fixture(name="box")
def boot(stage: Path) -> Iterator[Box]:
    """A systemd with what was installed, and instances that only sleep."""
    box = box_or_skip({})
    try:
        box.write("/etc/systemd/system/shardworker@.service.d/sleeps.conf", f"[Service]\n{SLEEPS}\n")
        unpack(box, stage)
        yield box
    finally:
        box.close()


@pytest.mark.parametrize("name", INSTALLED)
def test_systemd_has_nothing_to_say_about_a_unit(box: Box, name: str) -> None:
    """`systemd-analyze verify` ends well even with unknown keys: only silence is good."""
    verified = box.ask("systemd-analyze", "verify", name)

    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_a_misspelt_key_would_be_found(box: Box) -> None:
    """The silence of the test above means something."""
    text = box.path(f"{UNITS}/shardworker@.service").read_text(encoding="utf-8")
    box.write("/misspelt.service", text.replace("WatchdogSec", "WatchDogSec").replace("%i", "1"))

    assert "WatchDogSec" in box.ask("systemd-analyze", "verify", "/misspelt.service").stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_as_hardened_as_it_can_be(box: Box, name: str) -> None:
    """What is left in systemd's own score, from 0 to 10, is the network and the socket that it is told on."""
    path = f"{UNITS}/{name}"
    scored = box.run("systemd-analyze", "security", "--offline=true", "--no-pager", path)
    score = re.search(r"Overall exposure level for \S+: ([\d.]+)", scored)

    assert score is not None
    assert float(score[1]) <= SCORE_MAXIMUM, scored


def test_a_stop_is_given_more_time_than_it_can_take(box: Box) -> None:
    """What runs, and whatever is waited for then, one after the other, with the default settings."""
    after_drain = LEAVING_SECONDS + LAST_SPANS_SECONDS + LAST_LINES_SECONDS
    needed = Worker().drain + timedelta(seconds=after_drain)
    given = box.show("shardworker@1.service", "TimeoutStopUSec", "KillMode")

    assert needed < parsed(given["TimeoutStopUSec"])
    assert given["KillMode"] == "mixed"


def test_the_watcher_may_stop_instances_and_write_nowhere(box: Box) -> None:
    """Root without any capability can stop units; the workers' state it reads as their group."""
    tries = ["cat /var/lib/shardworker/*.json", "! touch /etc/here", "! touch /var/lib/shardworker/here"]
    stops = " && ".join([*tries, "exec systemctl stop shardworker@7.service"])
    settings = f"[Service]\nType=oneshot\nRestart=no\nExecStart=\nExecStart=/bin/sh -c '{stops}'\n"
    box.write("/etc/systemd/system/shardworker-ec2.service.d/stops.conf", settings)
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "start", "shardworker@7.service")
    assert box.show("shardworker@7.service", "ActiveState") == {"ActiveState": "active"}
    writes = "umask 0027 && touch /var/lib/shardworker/7.json"
    box.run("setpriv", "--reuid=shardworker", "--regid=shardworker", "--clear-groups", "sh", "-c", writes)

    box.run("systemctl", "start", "shardworker-ec2.service")

    assert box.show("shardworker@7.service", "ActiveState") == {"ActiveState": "inactive"}


def test_all_that_is_installed_knows_where_it_will_lie(stage: Path) -> None:
    """Below another root for a packager, scripts and units name the places where they end up."""
    version = stage / "opt/shardworker/versions/old"
    lines = (version / "bin/shardworker").read_text(encoding="utf-8").splitlines()

    assert lines[0] == "#!/opt/shardworker/versions/old/bin/python"
    assert (stage / "opt/shardworker/current").readlink() == Path("versions/old")
    assert (version / "share/shardworker/systemd/install.sh").exists()
    texts = [*(version / "bin").iterdir(), *(stage / "usr").rglob("*"), version / "pyvenv.cfg"]
    assert not [path for path in texts if path.is_file() and str(stage).encode() in path.read_bytes()]


def test_a_version_that_is_there_is_not_touched(stage: Path) -> None:
    """An instance may be running from it."""
    refused = try_to_make("install", DESTDIR=stage, VERSION="old")

    assert refused.returncode != 0
    assert "the version old is there already" in refused.stderr
    assert [path.name for path in (stage / "opt/shardworker/versions").iterdir()] == ["old"]


def test_a_version_that_is_not_there_is_not_switched_to(box: Box) -> None:
    """A slip changes nothing, and is told what there is."""
    refused = box.ask("shardworker-switch", "never")

    assert refused.returncode == 1
    assert refused.stderr == "shardworker-switch: no version never is installed; there is: old\n"
    assert box.run("shardworker-switch") == "old (current)\n"


def test_a_switch_ends_at_the_first_instance_that_does_not_start(box: Box) -> None:
    """The others go on with what they run, and the way back is told."""
    box.run("systemctl", "start", "shardworker@1.service", "shardworker@2.service")
    box.run("cp", "-a", "/opt/shardworker/versions/old", "/opt/shardworker/versions/two")
    fails = "[Service]\nExecStartPre=/bin/sh -c 'exit 78'\n"
    box.write("/etc/systemd/system/shardworker@1.service.d/fails.conf", fails)
    box.run("systemctl", "daemon-reload")
    before = box.show("shardworker@2.service", "MainPID", "ActiveState")

    stopped = box.ask("shardworker-switch", "two")

    assert stopped.returncode == 1
    assert "shardworker@1.service does not run with two" in stopped.stderr
    assert "Back: shardworker-switch old" in stopped.stderr
    assert box.show("shardworker@2.service", "MainPID", "ActiveState") == before


def test_uninstalling_stops_the_instances_and_leaves_what_is_the_operators(box: Box) -> None:
    """All versions and units go; the configuration, the state and the user stay."""
    box.run("systemctl", "enable", "--now", "shardworker@1.service", "shardworker.target")
    box.write("/etc/shardworker/config.toml", "")
    box.write("/uninstall.sh", (ROOT / "systemd/uninstall.sh").read_text(encoding="utf-8"))

    box.run("sh", "/uninstall.sh")

    assert box.show("shardworker@1.service", "ActiveState") == {"ActiveState": "inactive"}
    assert box.run("find", "/opt", "/usr/local", "-name", "*shardworker*") == ""
    assert box.run("find", "/etc/systemd/system", "-type", "l", "-name", "shardworker*") == ""
    box.run("ls", "/etc/shardworker/config.toml", "/var/lib/shardworker")
    box.run("id", "shardworker")


def test_what_was_installed_below_another_root_is_removed_there(stage: Path, tmp_path: Path) -> None:
    """Nothing is left, and nothing of the machine itself is touched."""
    copy = tmp_path / "copy"
    shutil.copytree(stage, copy, symlinks=True)

    make("uninstall", DESTDIR=copy)

    assert [path for path in copy.rglob("*") if not path.is_dir()] == []
    assert not (copy / "opt/shardworker").exists()


def parsed(span: str) -> timedelta:
    """A time span as `systemctl show` tells it, such as `1min 30s`."""
    units = {"min": "minutes", "s": "seconds"}
    parts = re.findall(r"(\d+)(min|s)", span)
    return timedelta(**{units[unit]: int(number) for number, unit in parts})
