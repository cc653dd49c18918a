"""The named points: passed by the code, each died at in the crash matrix, silent without a watcher."""

import re
from pathlib import Path
from typing import get_args

from config.points import Point, passed, watchers
from tests.support.crashes import EVERYWHERE

ROOT = Path(__file__).parents[2]
OF_HANDLERS = {"inside_handler"}


def test_each_point_is_passed_by_the_worker() -> None:
    """And the worker passes no other."""
    sources = [path for folder in ("worker", "shards") for path in (ROOT / folder).rglob("*.py")]
    found = {name for path in sources for name in re.findall(r'\bpassed\("(\w+)"\)', path.read_text())}

    assert found == set(get_args(Point)) - OF_HANDLERS


def test_the_crash_matrix_has_each_point() -> None:
    """Who names a point also lets a worker die there."""
    deaths = [crash.death for crash in EVERYWHERE.values()]

    assert {death.point for death in deaths if death is not None} == set(get_args(Point))


def test_a_watcher_is_told_until_it_leaves() -> None:
    """Nobody watches but in tests."""
    seen: list[Point] = []
    assert watchers == []
    passed("after_claim")
    watchers.append(seen.append)
    passed("before_commit")
    watchers.clear()
    passed("after_commit")

    assert seen == ["before_commit"]
