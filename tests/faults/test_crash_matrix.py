"""The crash matrix: a worker dies at each point of a job's way, and another one makes all promises good."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bends import BENDS
from tests.support.crash_databases import KINDS, CrashDatabases
from tests.support.crash_verdict import faults
from tests.support.crashes import crashes_on, scene

CASES = [(kind, name) for kind in KINDS for name in crashes_on(kind)]


@pytest.fixture(scope="module", name="databases")
def open_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrashDatabases]:
    databases = CrashDatabases(tmp_path_factory.mktemp("shards"))
    yield databases
    databases.close()


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_death_at_any_point_breaks_no_promise(
    tmp_path: Path, databases: CrashDatabases, kind: str, name: str
) -> None:
    """SIGKILL there leaves what the documents say; then each effect came once, and nothing is left."""
    crash = crashes_on(kind)[name]
    with scene(tmp_path, databases.of(kind)) as stage:
        assert stage.crash(crash) == crash.status
        assert stage.site.died_where_told()
        assert stage.site.left() == crash.left
        assert stage.finish(crash) == 0
        assert faults(stage.site) == set()


@pytest.mark.parametrize("name", BENDS)
def test_a_bent_worker_is_found_out(tmp_path: Path, databases: CrashDatabases, name: str) -> None:
    """The matrix can fail: a worker that does this one thing wrong breaks a promise at that point."""
    bend = BENDS[name]
    crash = crashes_on("sqlite")[bend.crash]
    with scene(tmp_path, databases.of("sqlite")) as stage:
        assert stage.crash(crash, name) == crash.status
        stage.finish(crash, name)
        assert bend.broken in faults(stage.site)
