"""The wheel and the sdist: complete, nothing beside, and able to work where nothing of the checkout is."""

import os
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.licences import found

# A whole demo, beside other tests on a slow machine.
pytestmark = pytest.mark.timeout(400)

ROOT = Path(__file__).resolve().parents[2]
OURS = ("worker", "handlers", "shards", "config")
MADE_BY_COMMANDS = {"build", "dist", "demo"}
PATIENCE_SECONDS = 180.0
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
# As pip does it, with the setuptools that is installed: nothing is fetched.
OFFLINE = ("--no-index", "--no-deps", "--no-build-isolation")
BUILD_SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"


def run(command: tuple[str | Path, ...], directory: Path) -> str:
    """Run a command with next to no environment; what it prints."""
    variables = {"PATH": os.defpath, "HOME": str(directory)}
    done = subprocess.run(
        command,
        cwd=directory,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module", name="checkout")
def copy_of_the_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy without what commands made: building leaves files too."""
    copy = tmp_path_factory.mktemp("distributions") / "checkout"
    shutil.copytree(ROOT, copy, ignore=made_by_commands)
    return copy


def made_by_commands(directory: str, names: list[str]) -> set[str]:
    """What is no part of the project: hidden, or built."""
    unwanted = {name for name in names if name.startswith(".") or name.endswith((".egg-info", "__pycache__"))}
    return unwanted | (MADE_BY_COMMANDS if Path(directory) == ROOT else set())


@pytest.fixture(scope="module", name="wheel")
def built_wheel(checkout: Path) -> Path:
    """The wheel, built of the checkout."""
    return build_wheel(checkout, checkout.parent / "wheel")


@pytest.fixture(scope="module", name="sdist")
def built_sdist(checkout: Path, wheel: Path) -> Path:
    """The sdist, built where nothing of the wheel's building is left."""
    copy = checkout.parent / "copy"
    shutil.copytree(ROOT, copy, ignore=made_by_commands)
    run((sys.executable, "-c", BUILD_SDIST, wheel.parent), copy)
    (sdist,) = wheel.parent.glob("*.tar.gz")
    return sdist


def build_wheel(source: Path, directory: Path) -> Path:
    """The wheel that pip makes of a directory or an sdist."""
    directory.mkdir()
    run((*PIP, "wheel", *OFFLINE, "--wheel-dir", directory, source), directory)
    (wheel,) = directory.glob("*.whl")
    return wheel


def contents(wheel: Path) -> dict[str, bytes]:
    """A wheel's files: all that an installation is made of."""
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def expected(wheel: Path) -> set[str]:
    """All files of the four packages, and the units with their scripts."""
    files = {path for name in OURS for path in (ROOT / name).rglob("*") if path.is_file()}
    packages = {str(path.relative_to(ROOT)) for path in files if path.parent.name != "__pycache__"}
    data = f"{'-'.join(wheel.name.split('-')[:2])}.data/data/share/shardworker/systemd"
    return packages | {f"{data}/{path.name}" for path in (ROOT / "systemd").iterdir()}


def environment(directory: Path, file: Path, *builders: str) -> Path:
    """A virtual environment with the distribution, what it always asks for and what builds it."""
    links = directory / "dependencies"
    links.mkdir(parents=True)
    for name in (*builders, *(name for name, brought_by in found().items() if brought_by == "always")):
        for source in {installed(name, path.parts[0]) for path in distribution(name).files or ()}:
            if ".." not in source.parts and source.name != "__pycache__":
                (links / source.name).symlink_to(source)
    run((sys.executable, "-m", "venv", "--without-pip", directory / "environment"), directory)
    (packages,) = directory.glob("environment/lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(f"{links}\n")
    python = directory / "environment" / "bin" / "python"
    run((*PIP, "--python", python, "install", *OFFLINE, file), directory)
    run((*PIP, "--python", python, "check"), directory)
    return python.parent


def installed(name: str, part: str) -> Path:
    """Where a file or folder of a distribution lies."""
    return Path(str(distribution(name).locate_file(part)))


def test_the_wheel_has_all_of_the_packages_and_nothing_beside(wheel: Path) -> None:
    """Schemas, samples, types and units are in it; tests, benchmarks and examples are not."""
    names = {name for name in contents(wheel) if ".dist-info/" not in name}

    assert names == expected(wheel)
    assert {"config/schemas/job.schema.json", "config/samples/config.toml", "worker/py.typed"} <= names


def test_the_sdist_builds_the_same_wheel(wheel: Path, sdist: Path) -> None:
    """File by file, metadata and all; and neither tests nor benchmarks nor examples are in the sdist."""
    with tarfile.open(sdist) as archive:
        folders = {Path(name).parts[1] for name in archive.getnames() if "/" in name}

    assert contents(build_wheel(sdist, sdist.parent / "again")) == contents(wheel)
    assert folders.isdisjoint({"tests", "benchmarks", "examples", "demo"})


def test_the_sdist_is_installed_alone(tmp_path: Path, sdist: Path) -> None:
    """With setuptools, which builds it, and what its metadata asks for."""
    programs = environment(tmp_path, sdist, "setuptools")
    sample = next(tmp_path.glob("environment/lib/*/site-packages/config/samples/config.toml"))

    assert "orders.insert" in run((programs / "shardworker", "handlers", "--config", sample), tmp_path)


def test_the_wheel_works_alone(tmp_path: Path, wheel: Path) -> None:
    """With what its metadata asks for and not one distribution more: the sample, and the whole demo."""
    programs = environment(tmp_path, wheel)
    worker = programs / "shardworker"
    sample = next(tmp_path.glob("environment/lib/*/site-packages/config/samples/config.toml"))
    home = tmp_path / "elsewhere"
    home.mkdir()

    assert "orders.insert" in run((worker, "handlers", "--config", sample), home)
    assert run((worker, "demo"), home).count("PROVED") == len(("rows", "answers", "dead letters"))
    assert str(tmp_path) in run((programs / "python", "-c", "import worker; print(worker.__file__)"), home)
    assert (programs.parent / "share" / "shardworker" / "systemd" / "install.sh").is_file()
