"""The directory that the worker is started in: nothing in it is executed, and none of it is read."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.world import World, job

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = str(Path(sys.executable).with_name("shardworker"))
SAFE_MODULE = (sys.executable, "-P", "-m", "worker")
MODULE = (sys.executable, "-m", "worker")
OURS = ("worker", "handlers", "shards", "config")
OTHERS = (
    *(
        "boto3",
        "botocore",
        "kombu",
        "msgspec",
        "pydantic",
        "psycopg",
        "pymysql",
        "sqlalchemy",
        "structlog",
        "typer",
    ),
    *(
        "sitecustomize",
        "usercustomize",
        "conftest",
        "setup",
        "prometheus_client",
        "tenacity",
        "rich",
        "MySQLdb",
    ),
)
STANDARD = ("json", "logging", "pathlib", "ssl", "tomllib", "sqlite3", "readline", "distutils")
ALL = (*OURS, *OTHERS, *STANDARD)
CONSUME = ("consume", "--limit", "1")
FILES = {
    ".env": "SHARDWORKER__LOGGING__LEVEL=debug\n",
    "pyproject.toml": "[tool.pytest]\n",
    "setup.cfg": "[options.entry_points]\nshardworker.handlers = x = boto3:x\n",
    "config.toml": "x\n",
    ".aws/config": "[default]\ncredential_process = touch executed\n",
    ".aws/credentials": "[default]\ncredential_process = touch executed\n",
    ".pgpass": "*:*:*:*:x\n",
    ".pg_service.conf": "[x]\nhost=x\n",
    ".my.cnf": "[client]\nhost=x\n",
    "pyvenv.cfg": "home = .\n",
    "python311._pth": ".\n",
    "x.pth": "import boto3\n",
}
# Notes each file that is opened below the working directory: to be found as `sitecustomize` by PYTHONPATH.
WATCHER = """
import os, sys
begin = os.getcwd() + os.sep
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if path.startswith(begin) and not path.endswith("opened"):
            with open(os.path.join(begin, "opened"), "a") as file:
                file.write(path + os.linesep)
sys.addaudithook(note)
"""


def plant(directory: Path, names: Sequence[str]) -> Path:
    """A directory full of what a careless program would take for its own."""
    planted = directory / "planted"
    code = "open('executed', 'a').write(__name__ + chr(10))\n"
    for name in names:
        package = planted / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(code)
        (package / "__main__.py").write_text(code)
        (planted / f"{name}.py").write_text(code)
    for name, content in FILES.items():
        (planted / name).parent.mkdir(exist_ok=True)
        (planted / name).write_text(content)
    return planted


@pytest.mark.parametrize(
    ("program", "names", "command"),
    [
        pytest.param((PROGRAM,), ALL, ("check",), id="check"),
        pytest.param((PROGRAM,), ALL, CONSUME, id="consume"),
        pytest.param(SAFE_MODULE, ALL, CONSUME, id="python -P -m worker"),
        pytest.param(MODULE, OTHERS, CONSUME, id="python -m worker"),
    ],
)
def test_nothing_in_the_working_directory_is_executed_or_read(
    embedded_world: World,
    tmp_path: Path,
    program: Sequence[str],
    names: Sequence[str],
    command: Sequence[str],
) -> None:
    """Not as code, not as configuration of the worker, of its libraries or of Python."""
    planted = plant(tmp_path, names)
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCHER)
    embedded_world.send(job("job-1"))
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": f"{tmp_path / 'watch'}:{ROOT}",
    }

    done = subprocess.run(
        [*program, *command, "--config", str(embedded_world.config_path)],
        cwd=planted,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert not (planted / "executed").exists(), (planted / "executed").read_text()
    assert not (planted / "opened").exists(), (planted / "opened").read_text()


def test_the_watcher_of_this_test_sees_what_is_read(tmp_path: Path) -> None:
    """And what is planted is executed by a Python that takes its working directory for its own."""
    planted = plant(tmp_path, ["boto3"])
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCHER)
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "watch")}

    code = "import boto3; open('.env')"
    subprocess.run([sys.executable, "-c", code], cwd=planted, env=variables, check=True, timeout=120)

    assert (planted / "executed").read_text() == "boto3\n"
    assert str(planted / ".env") in (planted / "opened").read_text()


@pytest.mark.parametrize("unit", ["shardworker@.service", "shardworker-ec2.service"])
def test_the_units_start_where_nobody_can_put_a_file(unit: str) -> None:
    """In the root directory; and whatever Python they start leaves its working directory out."""
    lines = (ROOT / "systemd" / unit).read_text().splitlines()

    assert "WorkingDirectory=/" in lines
    assert "Environment=PYTHONSAFEPATH=1" in lines


def test_no_document_calls_the_worker_as_a_module() -> None:
    """`python -m worker` takes a folder `worker` in the working directory for ours: the program does not."""
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "systemd").iterdir()]
    called = [path.name for path in documents if re.search(r"python[0-9.]* -m worker", path.read_text())]

    assert called == []
