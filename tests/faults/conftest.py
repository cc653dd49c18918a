"""Shards and sites for workers that meet at the same jobs."""

from collections.abc import Iterator

import pytest

from tests.support.crash_databases import CrashDatabases


@pytest.fixture(scope="session", name="race_databases")
def open_race_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrashDatabases]:
    """Two shards of each kind of database; each site begins with empty tables."""
    databases = CrashDatabases(tmp_path_factory.mktemp("shards"))
    yield databases
    databases.close()
