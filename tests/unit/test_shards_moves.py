"""Moves between two SQLite files."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from config import settings
from shards.engines import Shard
from tests.support.move_crash_protocol import CrashProtocol, RivalProtocol
from tests.support.move_protocol import MoveProtocol
from tests.support.moving import Site, make_place


@pytest.fixture(name="site")
def two_files(tmp_path: Path) -> Iterator[Site]:
    sections = {
        name: settings.Shard(
            url=f"sqlite:///{tmp_path / name}.db", limit=9, lock_timeout=timedelta(milliseconds=500)
        )
        for name in ("eu1", "eu2")
    }
    here, there = (Shard(name, section) for name, section in sections.items())
    yield Site(make_place(here), make_place(there))
    here.close()
    there.close()


class TestMove(MoveProtocol):
    """On SQLite."""


class TestCrashes(CrashProtocol):
    """On SQLite."""


class TestRivals(RivalProtocol):
    """On SQLite."""
