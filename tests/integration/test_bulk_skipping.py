"""Bad rows left out: of any mix of rows, each database takes the good ones, and the file the others."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shards.engines import Shard
from tests.support.bulk_ways import WAYS
from tests.support.mariadb import MariaDBServer
from tests.support.mixed_files import create_mixed, expected, mixed_rows, outcome
from tests.support.parts import shard_at, sqlite_shard
from tests.support.postgresql import PostgreSQLServer

UNHURRIED = settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
WAYS_OF = {"postgresql": WAYS, "mariadb": ("arrays", "texts", "rows"), "sqlite": ("texts", "rows")}
FORMS = st.sampled_from(["csv", "jsonl"])
CONFLICTS = st.sampled_from(["error", "error", "ignore"])
CHUNKS = st.sampled_from([1, 7, 1000])


@pytest.fixture(scope="module", name="postgresql")
def make_postgresql(server: PostgreSQLServer) -> Iterator[Shard]:
    server.create_database("mixed")
    shard = shard_at(server.url("mixed"))
    create_mixed(shard)
    yield shard
    shard.close()


@pytest.fixture(scope="module", name="mariadb")
def make_mariadb(mariadb_server: MariaDBServer) -> Iterator[Shard]:
    mariadb_server.create_database("mixed")
    shard = shard_at(mariadb_server.url("mixed"))
    create_mixed(shard)
    yield shard
    shard.close()


@pytest.fixture(scope="module", name="sqlite")
def make_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shard]:
    shard = sqlite_shard(tmp_path_factory.mktemp("mixed"))
    create_mixed(shard)
    yield shard
    shard.close()


@pytest.fixture(scope="module", params=["postgresql", "mariadb", "sqlite"], name="target")
def make_target(request: pytest.FixtureRequest) -> Shard:
    shard: Shard = request.getfixturevalue(request.param)
    return shard


@UNHURRIED
@given(rows=mixed_rows(), form=FORMS, conflict=CONFLICTS, chunk_rows=CHUNKS)
def test_exactly_the_good_rows_are_stored_and_exactly_the_others_told(
    target: Shard, rows: list[tuple[str, object]], form: str, conflict: str, chunk_rows: int
) -> None:
    """Whichever way the file goes, with the extra `fast` and without."""
    has_to_be = expected(rows, form, conflict, target.dialect)

    for way in WAYS_OF[target.dialect]:
        assert outcome(target, way, rows, form, conflict=conflict, chunk_rows=chunk_rows) == has_to_be
