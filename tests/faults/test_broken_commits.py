"""A worker that loses its connection while it commits: it cannot know whether it did, and asks the inbox."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.crash_databases import SERVERS, CrashDatabases
from tests.support.crash_job import HOMES
from tests.support.crash_verdict import faults
from tests.support.crashes import scene
from tests.support.deadly_proxy import Fate


@pytest.fixture(scope="module", name="databases")
def open_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrashDatabases]:
    databases = CrashDatabases(tmp_path_factory.mktemp("shards"))
    yield databases
    databases.close()


@pytest.mark.parametrize("fate", Fate)
@pytest.mark.parametrize("kind", SERVERS)
def test_after_a_broken_commit_a_part_runs_again_only_if_it_did_not_land(
    tmp_path: Path, databases: CrashDatabases, kind: str, fate: Fate
) -> None:
    """The server had done it, never hears of it, or does it while it is asked: one effect, no attempt."""
    with scene(tmp_path, databases.of(kind)) as stage:
        assert stage.run_with_broken_commit(fate) == 0
        assert stage.site.died_where_told()
        assert '"shard.unanswered"' in stage.site.log()
        assert faults(stage.site) == set()
        again = fate is Fate.LOST
        assert len(stage.site.job.runs()) == len(HOMES) + again
