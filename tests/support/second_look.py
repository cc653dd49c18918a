"""A second look at tests that failed: once more, one after the other, with nothing else at work beside them.

    python -m tests.support.second_look [OPTIONS OF PYTEST FOR THE FIRST LOOK]

A machine that stalls for seconds can make a test fail; what is broken fails again. Where more fail than
that explains, or where pytest itself came to no end, the first verdict is final.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

FAILED_MAXIMUM: Final = 3
SOME_FAILED: Final = 1  # pytest's exit status when all tests were run
LAST_FAILED: Final = Path(".pytest_cache/v/cache/lastfailed")


def main(options: Sequence[str]) -> int:
    """Run all tests, and those that failed once more; the exit status is the verdict."""
    LAST_FAILED.unlink(missing_ok=True)
    status = _pytest(*options)
    failed = _last_failed()
    if status != SOME_FAILED or not 0 < len(failed) <= FAILED_MAXIMUM:
        return status
    _say("These tests failed. They are run once more, alone:", failed)
    status = _pytest(*failed)
    _say(
        "These tests FAILED FIRST AND PASSED ALONE:" if status == 0 else "NOT ALL of these passed alone:",
        failed,
    )
    return status


def _pytest(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode


def _last_failed() -> list[str]:
    try:
        return sorted(json.loads(LAST_FAILED.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return []


def _say(what: str, tests: Sequence[str]) -> None:
    line = "#" * 100
    sys.stdout.write("\n".join(["", line, what, *tests, line, "", ""]))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
