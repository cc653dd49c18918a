"""A move as an operator makes it: two worker processes, two PostgreSQL databases, a catalog, the commands."""

import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from shards.catalog_tables import create_catalog
from shards.engines import Shards
from shards.migrations import migrate
from shards.open_directory import catalog_shard
from tests.support.postgresql import PostgreSQLServer, running_postgresql
from tests.support.world import ROOT, World, job, wait_until, without_times

ORDERS = "CREATE TABLE orders (order_no integer PRIMARY KEY, customer_id text NOT NULL, note text)"
COPY = """
import sys, psycopg
here, there, seen = sys.argv[1:]
with psycopg.connect(here) as source, psycopg.connect(there) as target:
    rows = source.execute("SELECT order_no, customer_id, note FROM orders").fetchall()
    insert = "INSERT INTO orders VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
    target.cursor().executemany(insert, rows)
open(seen, "w").write(str(len(rows)))
"""


@dataclass
class PostgreSQLWorld(World):
    """Two shards and the catalog on one server; claims check placement rows."""

    server: PostgreSQLServer = field(kw_only=True)

    def command(self, *arguments: str) -> str:
        """Run a command; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "worker", *arguments, "--config", str(self.config_path)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def order_numbers(self, database: str) -> list[int]:
        """The orders in a database."""
        return [row[0] for row in self.query(database, "SELECT order_no FROM orders ORDER BY order_no")]

    def query(self, database: str, statement: str) -> list[tuple[Any, ...]]:
        """What a database says."""
        engine = create_engine(self.server.url(database))
        with engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(text(statement))]
        engine.dispose()
        return rows

    def _configuration(self) -> str:
        head = super()._configuration().split("\n[shards.")[0]
        shards = "".join(f'\n[shards.{name}]\nurl = "{self.server.url(name)}"\n' for name in ("eu1", "eu2"))
        catalog = f'[directory.catalog]\nurl = "{self.server.url("catalog")}"\n'
        return f"{head}{shards}\n[directory]\nplacement_rows = true\n{catalog}"

    def _make_shards(self) -> None:
        with closing(catalog_shard(self.settings)) as catalog:
            create_catalog(catalog)
        with closing(Shards(self.settings.shards)) as shards:
            for name in shards.names:
                migrate(shards.get(name), None)
                with shards.get(name).connect() as connection, connection.begin():
                    connection.execute(text(ORDERS))


class Producer:
    """Sends one job after the other until it is stopped."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stopping = threading.Event()
        self.sent: list[dict[str, Any]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Jobs come as long as the block lasts."""
        thread = threading.Thread(target=self._send)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join()

    def _send(self) -> None:
        while not self._stopping.wait(0.005):
            number = len(self.sent)
            one = job(f"job-{number}", ["c-0"], rows=[{"order_no": number}])
            self._world.send(one)
            self.sent.append(one)


@pytest.fixture(name="world")
def make_world(tmp_path: Path) -> Iterator[PostgreSQLWorld]:
    with running_postgresql() as server:
        for database in ("eu1", "eu2", "catalog"):
            server.create_database(database)
        requests, responses, failures = (
            f"sql://{tmp_path}/queues.db?queue={name}" for name in ("requests", "responses", "failures")
        )
        world = PostgreSQLWorld(tmp_path, requests, responses, failures, server=server)
        yield world
        world.close()


class TestMove:
    def test_a_customer_is_moved_under_two_workers(self, world: PostgreSQLWorld) -> None:
        """Nothing is lost, nothing written to the old place after the flip, copies run once."""
        world.command("shards", "place", "c-0", "eu1")
        workers = [world.start_worker(), world.start_worker()]
        script, seen = world.directory / "bring_orders.py", world.directory / "seen"
        script.write_text(COPY)
        databases = [world.server.url(name).replace("+psycopg", "") for name in ("eu1", "eu2")]
        sync = shlex.join([sys.executable, str(script), *databases, str(seen)])
        producer = Producer(world)
        with producer.running():
            wait_until(lambda: len(world.order_numbers("eu1")) >= 30, "orders at the source")
            world.command("shards", "move", "c-0", "eu2", "--begin")
            world.command("shards", "move", "c-0", "eu2", "--finish", "--sync", sync)
            at_flip = int(seen.read_text())
            world.send(*producer.sent[:20])
            wait_until(lambda: len(world.order_numbers("eu2")) >= at_flip + 30, "orders at the target")
        world.send(*producer.sent[-5:])
        world.wait_until_settled()
        assert [worker.stop() for worker in workers] == [0, 0]

        assert world.order_numbers("eu2") == list(range(len(producer.sent)))
        assert len(world.order_numbers("eu1")) == at_flip
        assert world.dead_letters() == []
        self._assert_answers_agree(world, len(producer.sent))
        statement = "SELECT count(*), max(attempt) FROM shardworker_inbox"
        assert world.query("eu2", statement) == [(len(producer.sent), 0)]

    def _assert_answers_agree(self, world: PostgreSQLWorld, jobs: int) -> None:
        answers: dict[str, dict[str, Any]] = {}
        for result in map(without_times, world.results()):
            assert answers.setdefault(result["job_id"], result) == result
        assert len(answers) == jobs
        assert {answer["status"] for answer in answers.values()} == {"succeeded"}
