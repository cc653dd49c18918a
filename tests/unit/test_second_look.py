"""The second look at tests that failed: what it forgives, and what it does not."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.world import ROOT

FLAKY = """
def test_{name}():
    \"\"\"Fails the first time.\"\"\"
    from pathlib import Path
    seen = Path("seen-{name}")
    is_new = not seen.exists()
    seen.touch()
    assert not is_new
"""
BROKEN = "def test_broken(): assert False\n"
UNREADABLE = "def test_\n"


def look(directory: Path, *sources: str) -> tuple[int, str]:
    """The exit status and the output of a second look at tests in a directory of their own."""
    for number, source in enumerate(sources):
        (directory / f"test_{number}.py").write_text(source, encoding="utf-8")
    (directory / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.second_look", "--quiet"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_what_passes_alone_is_told_and_forgiven(tmp_path: Path) -> None:
    """The verdict is that of the second run, which says by name what failed in the first."""
    status, output = look(tmp_path, FLAKY.format(name="one"), FLAKY.format(name="two"))

    assert status == 0
    _, _, told = output.partition("FAILED FIRST AND PASSED ALONE")
    assert "test_0.py::test_one" in told
    assert "test_1.py::test_two" in told


def test_what_fails_again_has_failed(tmp_path: Path) -> None:
    """Another test that passes then changes nothing."""
    status, output = look(tmp_path, FLAKY.format(name="one"), BROKEN)

    assert status == 1
    assert "NOT ALL of these passed alone" in output


def test_more_than_three_failures_are_final(tmp_path: Path) -> None:
    """A machine that stalls does not explain them."""
    status, output = look(tmp_path, *(FLAKY.format(name=name) for name in ("one", "two", "three", "four")))

    assert status == 1
    assert "alone" not in output


def test_tests_that_could_not_be_collected_are_final(tmp_path: Path) -> None:
    """Others were not run then: nothing that is run later makes up for them."""
    status, output = look(tmp_path, FLAKY.format(name="one"), UNREADABLE)

    assert status == 2
    assert "alone" not in output
