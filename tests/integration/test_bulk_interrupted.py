"""A load that is interrupted leaves nothing, and the next delivery loads the file once."""

import multiprocessing
import zlib
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from handlers import Reject
from shards.engines import Shard
from shards.failures import Kind, classify
from tests.support.bulk_parts import (
    CREATE,
    ROW_COUNT,
    after_first_block,
    committed,
    hang_in_load,
    run_load,
    write_lines,
)

spawning = multiprocessing.get_context("spawn")
KILLS = {"postgresql": "SELECT pg_terminate_backend({})", "mariadb": "KILL {}"}


@pytest.fixture(params=["shard", "mariadb_shard"], name="target")
def make_target(request: pytest.FixtureRequest) -> Shard:
    shard: Shard = request.getfixturevalue(request.param)
    with shard.connect() as connection, connection.begin():
        connection.execute(text(CREATE))
    return shard


@pytest.fixture(name="file")
def make_file(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "lines.csv")


def assert_loads_once(shard: Shard, file: Path) -> None:
    """Nothing is there; then the file is, once, however often it is delivered."""
    assert committed(shard) == (0, 0)

    outcomes = [run_load(shard, file) for _ in range(2)]

    assert [outcome.body for outcome in outcomes] == [outcomes[0].body] * 2
    assert b'{"inserted":%d}' % ROW_COUNT in outcomes[0].body
    assert committed(shard) == (ROW_COUNT, 1)


def test_a_worker_killed_in_the_middle_leaves_nothing(target: Shard, file: Path) -> None:
    """What the database has of the file goes with the connection."""
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=hang_in_load, args=(url_of(target), file, theirs))
    process.start()
    try:
        assert ours.poll(60)
        assert ours.recv() == "inside"
    finally:
        process.kill()
        process.join()

    assert_loads_once(target, file)


def test_a_connection_cut_in_the_middle_leaves_nothing(target: Shard, file: Path) -> None:
    """It is the shard that is away: no row is to blame."""
    cuts: list[int] = []

    def cut(connection: Connection) -> None:
        if not cuts:
            cuts.append(own_id(connection))
            with target.connect() as other, other.begin():
                other.execute(text(KILLS[target.dialect].format(cuts[0])))

    with after_first_block(target, cut), pytest.raises(DBAPIError) as caught:
        run_load(target, file)

    assert classify(caught.value, target.dialect).kind is Kind.AWAY
    assert_loads_once(target, file)


def test_a_file_that_breaks_off_in_the_middle_leaves_nothing(target: Shard, file: Path) -> None:
    """What was sent before is taken back; no end of a stream is mistaken for a file's end."""
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(file.read_bytes()) + packer.flush()
    broken = file.with_name("lines.csv.gz")
    broken.write_bytes(packed[: len(packed) * 3 // 4])
    blocks: list[Connection] = []

    with after_first_block(target, blocks.append), pytest.raises(Reject) as caught:
        run_load(target, broken)

    assert caught.value.code == "not_gzip"
    assert blocks
    assert_loads_once(target, file)


def url_of(shard: Shard) -> str:
    """The shard's URL, for another process."""
    return shard.engine.url.render_as_string(hide_password=False)


def own_id(connection: Connection) -> int:
    """The number of the connection's session on its server."""
    driver = connection.connection.driver_connection
    assert driver is not None
    return int(driver.info.backend_pid if connection.dialect.name == "postgresql" else driver.thread_id())
