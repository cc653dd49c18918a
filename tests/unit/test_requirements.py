"""What is installed beside the worker: bounds on both sides, a lock within them, licences listed."""

import configparser
import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support.licences import ALLOWED, NAMED, found, licence_of

ROOT = Path(__file__).resolve().parents[2]
LOCKS = {"dev": "dev.txt", "fast": "fast.txt"}
PIN = re.compile(
    r"^(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>[^ ]+)(?: ; (?P<marker>.+?))? \\$", re.MULTILINE
)
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def configuration() -> configparser.ConfigParser:
    file = configparser.ConfigParser()
    file.read(ROOT / "setup.cfg")
    return file


def listed(text: str) -> list[Requirement]:
    return [Requirement(line) for line in text.split("\n") if line.strip()]


def requirements(extra: str | None = None) -> list[Requirement]:
    """What is asked for always, or with an extra."""
    file = configuration()
    if extra is None:
        return listed(file["options"]["install_requires"])
    return listed(file["options.extras_require"][extra])


def build_requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [Requirement(line) for line in project["build-system"]["requires"]]


def every_requirement() -> list[Requirement]:
    extras = configuration()["options.extras_require"]
    return [*requirements(), *build_requirements(), *(one for extra in extras for one in requirements(extra))]


def locked(name: str) -> dict[str, Version]:
    """The versions in a lock, by the canonical name."""
    text = (ROOT / "requirements" / name).read_text()
    return {canonicalize_name(found["name"]): Version(found["version"]) for found in PIN.finditer(text)}


@pytest.mark.parametrize("requirement", every_requirement(), ids=str)
def test_every_dependency_has_a_lower_and_an_upper_bound(requirement: Requirement) -> None:
    """A release that nobody here has tried is not taken, and none that is too old."""
    operators = {specifier.operator for specifier in requirement.specifier}

    assert {">=", "<"} <= operators, requirement


@pytest.mark.parametrize(
    ("requirement", "lock"),
    [
        *((one, "dev.txt") for one in (*requirements(), *requirements("dev"), *build_requirements())),
        *((one, "dev.txt") for extra in ("otel", "redis") for one in requirements(extra)),
        *((one, "fast.txt") for one in requirements("fast")),
    ],
    ids=str,
)
def test_the_lock_has_every_dependency_within_its_bounds(requirement: Requirement, lock: str) -> None:
    """Whoever changes setup.cfg runs `make lock`."""
    version = locked(lock)[canonicalize_name(requirement.name)]

    assert version in requirement.specifier


@pytest.mark.parametrize("name", LOCKS.values())
def test_the_lock_has_hashes_of_everything_and_names_no_place(name: str) -> None:
    """Each line is a version, a hash of one of its files, or who asks for it."""
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    other = [
        line for line in lines if not (PIN.match(line) or HASH.match(line) or line.lstrip().startswith("#"))
    ]

    assert other == []
    for line, following in pairwise(lines):
        assert not PIN.match(line) or HASH.match(following), line


def test_every_licence_is_listed_and_one_that_is_allowed() -> None:
    """Also of what the dependencies need; those that ask for more are named with what they mean."""
    text = (ROOT / "docs" / "licences.md").read_text()
    wrong = {
        name: licence_of(name) for name in found() if licence_of(name) not in ALLOWED | {NAMED.get(name)}
    }

    assert wrong == {}
    lines = {line.split(" | ")[0]: line for line in text.splitlines()}
    unlisted = [
        name for name in found() if not lines.get(f"| {name}", "").endswith(f"| {licence_of(name)} |")
    ]
    assert unlisted == []
    assert all(f"**{name}" in text or f"and {name}" in text for name in NAMED)
