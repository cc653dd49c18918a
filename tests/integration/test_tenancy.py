"""The three shapes of tenancy: each configuration in docs/shards.md, run by the daemon on a real database."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, select, text
from typer.testing import CliRunner

from config.load import load_settings
from config.settings import Settings
from shards.directory import Placement, StaticDirectory
from shards.engines import Shards
from shards.parts import find_outcomes
from tests.support.logging_state import logging_restored
from tests.support.mariadb import MariaDBServer
from tests.support.parts import shard_at
from tests.support.postgresql import PostgreSQLServer
from tests.support.world import ROOT
from tests.support.writes import execute
from worker.cli import build_app
from worker.transports.base import Message
from worker.transports.factory import open_transport

DOCUMENT = (ROOT / "docs" / "shards.md").read_text(encoding="utf-8")
SHAPES = DOCUMENT.split("\n## Three shapes\n", 1)[1].split("\n## ", 1)[0]
CONFIGURATIONS = re.findall(r"^```toml\n(.*?)^```$", SHAPES, re.MULTILINE | re.DOTALL)
(HANDLER,) = re.findall(r"^```python\n(.*?)^```$", SHAPES, re.MULTILINE | re.DOTALL)
SHARED, SCHEMAS, DATABASES, SHARDS = range(4)
CUSTOMERS = ("c-1001", "c-1002")
NAMES = ("customer_1001", "customer_1002")

COMMON = """
[queues]
request = ["sql://{directory}/queues.db?queue=requests"]
response = "sql://{directory}/queues.db?queue=results"
failure = "sql://{directory}/queues.db?queue=failures"

[worker]
state_directory = "{directory}/state"

[handlers]
modules = ["closing_handler"]

[partners.acme]
customers = ["*"]
types = ["*"]

"""


class Ran(NamedTuple):
    """What the daemon left: results by job; rows, and whose inbox rows, stand where each customer lives."""

    results: dict[str, Any]
    rows: dict[str, list[tuple[Any, ...]]]
    inbox: dict[str, list[str]]


Run = Callable[[int], Ran]


@pytest.fixture(name="run")
def make_run(
    tmp_path: Path, server: PostgreSQLServer, mariadb_server: MariaDBServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    """Runs the document's configuration of this number, with this machine's servers in it."""
    _make_databases(server, mariadb_server)
    (tmp_path / "closing_handler.py").write_text(HANDLER, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    def run(number: int) -> Ran:
        path = tmp_path / "config.toml"
        path.write_text(
            COMMON.format(directory=tmp_path) + _on_this_machine(number, tmp_path, server, mariadb_server)
        )
        settings = load_settings(path, {}).settings
        with logging_restored():
            made = CliRunner().invoke(build_app(), ["setup", "--config", str(path)])
        assert made.exit_code == 0, made.output
        _make_tables(settings, shared=number == SHARED)
        for jobs in _rounds(shared=number == SHARED):
            _send(settings, jobs)
            _consume(path, tmp_path, len(jobs))
        return Ran(_results(settings), _rows(settings), _inbox(settings))

    yield run
    sys.modules.pop("closing_handler", None)


def _on_this_machine(
    number: int, directory: Path, server: PostgreSQLServer, mariadb_server: MariaDBServer
) -> str:
    address = r"[\w+]+://shardworker@{}/(\w+)"
    of_postgresql = re.sub(
        address.format("db1.internal"), lambda found: server.url(found[1]), CONFIGURATIONS[number]
    )
    of_mariadb = re.sub(
        address.format("db2.internal"), lambda found: mariadb_server.url(found[1]), of_postgresql
    )
    return of_mariadb.replace("sqlite:////var/lib/shards", f"sqlite:///{directory}").replace("\"'", '"')


def _make_databases(server: PostgreSQLServer, mariadb_server: MariaDBServer) -> None:
    engine = create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in (*NAMES, "orders"):
            connection.execute(text(f'DROP DATABASE IF EXISTS "{name}"'))
            connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    schemas = shard_at(server.url("orders"))
    execute(schemas, "; ".join(f"CREATE SCHEMA {name}" for name in NAMES))
    schemas.close()
    for name in (*NAMES, "shardworker"):
        mariadb_server.execute(f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")


def _table(*, shared: bool) -> Table:
    owner = [Column("customer_id", String(128), primary_key=True)] if shared else []
    return Table(
        "orders",
        MetaData(),
        *owner,
        Column("order_no", Integer, primary_key=True),
        Column("note", String(20)),
    )


def _places(settings: Settings) -> dict[str, Placement]:
    return StaticDirectory(settings.directory).find(CUSTOMERS)


def _make_tables(settings: Settings, *, shared: bool) -> None:
    table = _table(shared=shared)
    with closing(Shards(settings.shards)) as shards:
        for place in {(one.shard, one.schema) for one in _places(settings).values()}:
            with shards.get(place[0]).connect(place[1]) as connection, connection.begin():
                table.create(connection)


def _rounds(*, shared: bool) -> list[list[dict[str, Any]]]:
    """Both customers get order 1, and one's payloads try to reach the other; then its order is closed."""
    elsewhere = {
        "schema": NAMES[1],
        "shard": NAMES[1],
        "table": f"{NAMES[1]}.orders",
        "customer_id": CUSTOMERS[1],
    }
    stolen = {"rows": [{"order_no": 2, "customer_id": CUSTOMERS[1]}]}
    first = [
        *(
            _job(f"insert-{one}", "orders.insert", one, {"rows": [{"order_no": 1}], **elsewhere})
            for one in CUSTOMERS
        ),
        _job("steal", "orders.insert", CUSTOMERS[0], stolen),
    ]
    close = _job("close", "orders.close", CUSTOMERS[0], {"order_no": 1, **elsewhere})
    # the document's handler is one for schemas: with shared tables it would have to name the customer
    return [first] if shared else [first, [close]]


def _job(job_id: str, job_type: str, customer_id: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "type": job_type,
        "partner_id": "acme",
        "customers": [customer_id],
        "payload": payload,
    }


def _send(settings: Settings, jobs: list[dict[str, Any]]) -> None:
    with closing(open_transport(settings.queues.request[0], settings.queues, settings.worker.lease)) as queue:
        assert not queue.send([Message(body=json.dumps(job)) for job in jobs])


def _consume(path: Path, directory: Path, limit: int) -> None:
    command = [sys.executable, "-m", "worker", "consume", "--config", str(path), "--limit", str(limit)]
    paths = os.pathsep.join([str(ROOT), str(directory)])
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
        timeout=90,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode()


def _results(settings: Settings) -> dict[str, Any]:
    with closing(open_transport(settings.queues.response, settings.queues, settings.worker.lease)) as queue:
        results = [json.loads(delivery.body) for delivery in queue.browse(100)]
    return {result["job_id"]: result for result in results}


def _rows(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """What stands in the tables where each customer lives."""
    found = {}
    with closing(Shards(settings.shards)) as shards:
        for customer_id, place in _places(settings).items():
            with shards.get(place.shard).connect(place.schema, reading=True) as connection:
                shared = settings.handlers.insert[0].customer_column is not None
                table = _table(shared=shared)
                found[customer_id] = [
                    tuple(row) for row in connection.execute(select(table).order_by(*table.c))
                ]
    return found


def _inbox(settings: Settings) -> dict[str, list[str]]:
    """Whose parts' inbox rows stand where each customer lives."""
    found = {}
    with closing(Shards(settings.shards)) as shards:
        for customer_id, place in _places(settings).items():
            jobs = [
                find_outcomes(shards.get(place.shard), place.schema, f"insert-{one}", None)
                for one in CUSTOMERS
            ]
            found[customer_id] = sorted(owner for rows in jobs for owner in rows)
    return found


def test_shared_tables_hold_each_row_with_the_customer_of_its_job(run: Run) -> None:
    """A payload that names another customer for a row is refused; the column is the worker's."""
    ran = run(SHARED)
    (error,) = [entry["error"] for entry in ran.results["steal"]["customers"]]

    assert ran.rows["c-1001"] == [("c-1001", 1, None), ("c-1002", 1, None)]
    assert ran.inbox == {customer_id: list(CUSTOMERS) for customer_id in CUSTOMERS}
    assert error["code"] == "invalid_rows"


@pytest.mark.parametrize("number", [SCHEMAS, DATABASES, SHARDS])
def test_each_customer_s_rows_are_in_its_own_schema_or_database(run: Run, number: int) -> None:
    """Its inbox rows too; with the built-in insertion and with raw SQL, whatever a payload names."""
    ran = run(number)

    assert ran.rows == {"c-1001": [(1, "closed")], "c-1002": [(1, None)]}
    assert ran.inbox == {customer_id: [customer_id] for customer_id in CUSTOMERS}
    assert ran.results["close"]["customers"][0]["result"] == {"closed": 1}
    assert ran.results["steal"]["status"] == "failed"
