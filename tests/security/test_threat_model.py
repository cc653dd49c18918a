"""docs/security.md: every threat names tests, and these are there."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOCUMENT = (TESTS.parent / "docs" / "security.md").read_text(encoding="utf-8")
MODEL = DOCUMENT[DOCUMENT.index("\n## Threats\n") : DOCUMENT.index("\n## What is left to you\n")]
ROW = re.compile(r"^\| (?P<threat>(?!threat |---).+?) \| (?P<defence>.+) \| (?P<tests>.+) \|$", re.MULTILINE)
NAMED = re.compile(r"`(?P<file>\w+)::(?P<name>\w+)`")
THREATS = [match.groupdict() for match in ROW.finditer(MODEL)]


def test_all_rows_are_read() -> None:
    """None is left out because it is written in another form."""
    rows = [line for line in MODEL.splitlines() if line.startswith("|") and "|---|" not in line]
    headings = [line for line in rows if line.startswith("| threat |")]

    assert len(THREATS) == len(rows) - len(headings) > 20


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: str(threat["threat"])[:40])
def test_each_threat_names_tests_that_are_there(threat: dict[str, str]) -> None:
    """A test that is renamed or removed is missed here."""
    named = NAMED.findall(threat["tests"])

    assert named
    assert NAMED.sub("", threat["tests"]).strip(", ") == ""
    for file, name in named:
        texts = [path.read_text(encoding="utf-8") for path in TESTS.rglob(f"{file}.py")]
        assert any(f"def {name}(" in text for text in texts), f"{file}.py has no {name}"
