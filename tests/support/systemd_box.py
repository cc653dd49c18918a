"""A real systemd for tests, booted in namespaces of its own over the machine's files: about a second.

Outside of the namespaces there is one thing: a cgroup below the test's own, removed at the end.
Another systemd is tried with another distribution's root, a directory such as debootstrap makes, which
`SHARDWORKER_TEST_ROOT` names.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.private_server import skip_or_fail
from tests.support.world import wait_until

INSIDE: Final = Path(__file__).with_suffix(".sh")
PROGRAMS: Final = ("unshare", "nsenter", "setpriv", "systemctl", "/lib/systemd/systemd")
NAMESPACES: Final = ("--mount", "--pid", "--cgroup", "--ipc", "--uts", "--net")
ROOT_VARIABLE: Final = "SHARDWORKER_TEST_ROOT"
POWER_OFF: Final = signal.SIGRTMIN + 4
POWER_OFF_SECONDS: Final = 20
COMMAND_SECONDS: Final = 90
CLONE_NEWNET: Final = 0x40000000


class Box:
    """A systemd of its own. `shared` is a directory that has the same path inside and outside."""

    def __init__(self, binds: Mapping[Path, Path]) -> None:
        """Boot; `binds` are directories of the machine and where they are seen inside."""
        self._scratch = Path(tempfile.mkdtemp(prefix="shardworker-box-"))
        self.shared = Path(tempfile.mkdtemp(prefix="shardworker-box-shared-"))
        self.shared.chmod(0o755)
        self._cgroup = Path(tempfile.mkdtemp(prefix="shardworker-box-", dir=_own_cgroup()))
        pairs = [f"{outside}={inside}" for outside, inside in {**binds, self.shared: self.shared}.items()]
        boot: list[str | Path] = [
            "unshare",
            *NAMESPACES,
            "--fork",
            "--kill-child",
            INSIDE,
            self._scratch,
            os.environ.get(ROOT_VARIABLE, "/"),
            *pairs,
        ]
        enter = 'echo $$ > "$0"/cgroup.procs; exec setpriv --pdeathsig KILL "$@"'
        self._process = subprocess.Popen(["sh", "-c", enter, self._cgroup, *boot], stdin=subprocess.DEVNULL)
        wait_until(self._is_up, "systemd to listen")
        self.run("systemctl", "is-system-running", "--wait")

    @property
    def pid(self) -> int:
        """The id, outside, of the process that is 1 inside."""
        pid = self._process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()[0])

    def path(self, inside: str | Path) -> Path:
        """A path of the box, as it is reached from outside."""
        return Path(f"/proc/{self.pid}/root") / str(inside).lstrip("/")

    def write(self, inside: str, text: str) -> None:
        """Write a file in the box, and the directories that it needs."""
        self.path(inside).parent.mkdir(parents=True, exist_ok=True)
        self.path(inside).write_text(text, encoding="utf-8")

    def start(
        self, *command: str | Path, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a command inside, as root."""
        variables = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **(environment or {})}
        enter = ["nsenter", "--target", str(self.pid), "-r", "-w", "-m", "-p", "-n", "-i", "-u", "-C", "--"]
        pipe = subprocess.PIPE
        return subprocess.Popen([*enter, *command], env=variables, stdout=pipe, stderr=pipe, text=True)

    def ask(
        self, *command: str | Path, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside to its end, however it ends."""
        with self.start(*command, environment=environment) as process:
            try:
                stdout, stderr = process.communicate(timeout=COMMAND_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def run(self, *command: str | Path, environment: Mapping[str, str] | None = None) -> str:
        """Run a command inside that has to succeed; its output."""
        done = self.ask(*command, environment=environment)
        assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit."""
        lines = self.run("systemctl", "show", unit, f"--property={','.join(names)}").splitlines()
        return dict(line.split("=", maxsplit=1) for line in lines)

    def journal(self, unit: str, *options: str) -> list[str]:
        """What the unit wrote into the journal, and systemd about it."""
        self.run("journalctl", "--sync")
        return self.run("journalctl", "--output=cat", "--all", f"--unit={unit}", *options).splitlines()

    @contextmanager
    def network(self) -> Iterator[None]:
        """This thread, and what it starts meanwhile, is on the box's network: its 127.0.0.1."""
        with Path("/proc/thread-self/ns/net").open() as own, Path(f"/proc/{self.pid}/ns/net").open() as inner:
            _enter_network(inner.fileno())
            try:
                yield
            finally:
                _enter_network(own.fileno())

    def close(self) -> None:
        """Power off, and remove what there was outside."""
        try:
            os.kill(self.pid, POWER_OFF)
            self._process.wait(POWER_OFF_SECONDS)
        finally:
            self._process.kill()  # and with it everything inside
            self._process.wait()
            wait_until(lambda: _removed(self._cgroup), "the cgroup's processes to be gone")
            shutil.rmtree(self._scratch)
            shutil.rmtree(self.shared)

    def _is_up(self) -> bool:
        assert self._process.poll() is None, "systemd did not boot: see its words on standard error"
        try:
            booted = Path(f"/proc/{self.pid}/comm").read_text(encoding="ascii") == "systemd\n"
        except (OSError, IndexError):
            return False
        return booted and self.path("/run/systemd/private").exists()


def box_or_skip(binds: Mapping[Path, Path]) -> Box:
    """A booted box, or the tests are skipped where there can be none; they fail where they have to run."""
    reason = _why_not()
    return Box(binds) if reason is None else skip_or_fail(reason)


def _why_not() -> str | None:
    if os.geteuid() != 0:
        return "a systemd of its own needs root"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"a systemd of its own needs {', '.join(missing)} (apt-get install systemd util-linux)"
    try:
        _own_cgroup()
    except LookupError as error:
        return str(error)
    probe = subprocess.run(
        ["unshare", *NAMESPACES, "--fork", "mount", "--make-rprivate", "/"],
        check=False,
        capture_output=True,
        text=True,
    )
    return f"namespaces are refused: {probe.stderr.strip()}" if probe.returncode else None


def _own_cgroup() -> Path:
    """This process's directory in the unified hierarchy, wherever that is mounted."""
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    points = [line.split()[1] for line in mounts if line.split()[2] == "cgroup2"]
    groups = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    own = [line.removeprefix("0::") for line in groups if line.startswith("0::")]
    if not points or not own:
        raise LookupError("no cgroup2 is mounted")
    return Path(points[0]) / own[0].lstrip("/")


def _removed(cgroup: Path) -> bool:
    try:
        for directory, _, _ in os.walk(cgroup, topdown=False):
            Path(directory).rmdir()
    except OSError:  # a process is on its way out
        return False
    return True


def _enter_network(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)  # os.setns comes with Python 3.12
    if libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns failed")
