"""`python -m tests.support.licences`: docs/licences.md, by what the installed distributions say."""

import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS: Final = ("", "fast", "otel", "redis")
CLASSIFIER: Final = "License :: OSI Approved :: "
EXPECTED: Final = {
    "Apache Software License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "BSD": "BSD-3-Clause",
    "BSD-3-Clause AND Apache-2.0": "BSD-3-Clause AND Apache-2.0",
    "MIT License": "MIT",
    "3-Clause BSD License": "BSD-3-Clause",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "BSD License / Apache Software License": "Apache-2.0 OR BSD-3-Clause",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "ISC License (ISCL)": "ISC",
}
ALLOWED: Final = frozenset(
    {
        *("MIT", "Apache-2.0", "BSD-3-Clause", "BSD-2-Clause", "ISC", "PSF-2.0", "MPL-2.0"),
        *("Apache-2.0 OR BSD-3-Clause", "Apache-2.0 OR BSD-2-Clause", "MIT OR Apache-2.0"),
        "Apache-2.0 AND BSD-2-Clause",
    }
)
NAMED: Final = {
    "psycopg": "LGPL-3.0-only",
    "psycopg-binary": "LGPL-3.0-only",
    "mysqlclient": "GPL-2.0-or-later",
}
"""What asks for more than to be named: each has its paragraph in the document."""

HEAD: Final = """# Licences

What the worker is installed with, and under which licence. shardworker itself is under the
[MIT licence](../LICENSE). Written by `make licences` from what the distributions say of themselves;
a test holds it to what is installed.

- **psycopg and psycopg-binary are under the LGPL 3**: the worker uses them as libraries, unchanged, and
  whoever has it can put other versions in their place, as pip does. Who hands on a whole installation, an
  image say, hands on their licence's text and says where their source is. psycopg-binary brings PostgreSQL's
  libpq and OpenSSL, under licences of their own.
- **mysqlclient is under the GPL 2 or later**, and only in the extra `fast`. Running it asks for nothing. Who
  hands on an installation with it hands it all on under the GPL: leave the extra out then, the worker does
  without.

| distribution | installed with | range | licence |
|---|---|---|---|
"""


def main() -> None:
    """Print the document."""
    sys.stdout.write(document())


def document() -> str:
    """The whole document."""
    return HEAD + "".join(f"{line_of(name, brought_by)}\n" for name, brought_by in sorted(found().items()))


def line_of(name: str, brought_by: str) -> str:
    """The line of a distribution."""
    return f"| {name} | {brought_by} | {_range(name)} | {licence_of(name)} |"


def found() -> dict[str, str]:
    """Each distribution that is installed with the worker, and with which extra if not always."""
    brought: dict[str, str] = {}
    for extra in EXTRAS:
        for name in _with_all("shardworker", {extra}, set()):
            brought.setdefault(name, f"`{extra}`" if extra else "always")
    return brought


def licence_of(name: str) -> str:
    """The licence by its SPDX name, where that is known; else what the distribution tells."""
    metadata = distribution(name).metadata
    told = metadata.get_all("License-Expression") or []
    told = told or [" / ".join(_classified(metadata.get_all("Classifier") or []))]
    told = [one for one in told if one] or metadata.get_all("License") or ["unknown"]
    first = str(told[0]).splitlines()[0]
    return EXPECTED.get(first, first)


def _classified(classifiers: Iterable[str]) -> list[str]:
    return [one.removeprefix(CLASSIFIER) for one in classifiers if one.startswith(CLASSIFIER)]


def _with_all(name: str, extras: set[str], seen: set[tuple[str, str]]) -> Iterator[str]:
    """What the distribution asks for with these extras, and what that asks for."""
    for requirement in _requirements(distribution(name), extras):
        key = (canonicalize_name(requirement.name), ",".join(sorted(requirement.extras)))
        if key not in seen and _is_installed(key[0]):
            seen.add(key)
            yield key[0]
            yield from _with_all(key[0], {"", *requirement.extras}, seen)


def _requirements(one: Distribution, extras: Iterable[str]) -> Iterator[Requirement]:
    for text in one.requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
            yield requirement


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _range(name: str) -> str:
    asked = map(Requirement, distribution("shardworker").requires or ())
    ranges = [str(one.specifier) for one in asked if canonicalize_name(one.name) == name]
    return f"`{ranges[0]}`" if ranges else "as those that need it ask"


if __name__ == "__main__":
    main()
