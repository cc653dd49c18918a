"""A configured site in a directory, all of it embedded, for tests of the commands."""

import json
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from config.headers import OWN_ATTRIBUTE, OwnHeader, write_own_header
from config.load import load_settings
from config.settings import Settings
from shards.directory import StaticDirectory
from shards.engines import Shard
from shards.inbox import PartIdentity
from shards.parts import PartStore
from tests.support.logging_state import logging_restored
from worker.cli import build_app
from worker.transports.base import Attribute, Delivery, Message, Transport
from worker.transports.factory import open_transport

CONFIGURATION = """
[queues]
request = ["sql://{directory}/queues.db?queue=requests", "sql://{directory}/queues.db?queue=slow"]
response = "sql://{directory}/queues.db?queue=results"
failure = "sql://{directory}/queues.db?queue=failures"
claim_check_bucket = "file://{directory}/bucket"

[worker]
state_directory = "{directory}"

[shards.eu1]
url = "sqlite:///{directory}/eu1.db"

[shards.eu2]
url = "sqlite:///{directory}/eu2.db"

[directory.customers]
c-1 = "eu1"
c-2 = "eu2"

[partners.acme]
customers = ["*"]
types = ["orders.insert"]

[attachments]
buckets = ["file://{directory}/bucket"]
max_size = "1KiB"

[[handlers.insert]]
type = "orders.insert"
table = "orders"
columns = ["order_no"]
"""


class Site:
    """The site and the command line on it."""

    def __init__(self, directory: Path, *, extra: str = "") -> None:
        self.directory = directory
        self.path = directory / "config.toml"
        self.path.write_text(CONFIGURATION.format(directory=directory) + extra, encoding="utf-8")

    @property
    def settings(self) -> Settings:
        """The site's settings."""
        return load_settings(self.path, {}).settings

    def run(
        self, *arguments: str, stdin: str | None = None, environment: dict[str, str] | None = None
    ) -> Result:
        """Run a command with this configuration."""
        variables = {"SHARDWORKER_CONFIG": str(self.path), **(environment or {})}
        with logging_restored():
            return CliRunner().invoke(build_app(), list(arguments), input=stdin, env=variables)

    def run_json(self, *arguments: str) -> Any:
        """The JSON that a command prints; its exit status is 0."""
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def set_up(self) -> "Site":
        """Queues, inbox tables, the bucket, and the handler's own table."""
        assert self.run("setup").exit_code == 0
        for shard in ("eu1", "eu2"):
            with closing(sqlite3.connect(self.directory / f"{shard}.db")) as database, database:
                database.execute("CREATE TABLE orders (order_no INTEGER PRIMARY KEY)")
        return self

    def queue(self, name: str) -> Transport:
        """One of the site's queues; the caller closes it."""
        settings = self.settings
        return open_transport(
            f"sql://{self.directory}/queues.db?queue={name}", settings.queues, settings.worker.lease
        )

    def send(self, queue: str, *messages: Message) -> None:
        """Put messages on a queue."""
        with closing(self.queue(queue)) as transport:
            assert transport.send(messages) == {}

    def waiting(self, queue: str) -> list[Delivery]:
        """The messages on a queue."""
        with closing(self.queue(queue)) as transport:
            return transport.browse(100)

    def part_store(self, customer_id: str) -> PartStore:
        """The inbox where the customer lives."""
        settings = self.settings
        placement = StaticDirectory(settings.directory).find([customer_id])[customer_id]
        shard = Shard(placement.shard, settings.shards[placement.shard])
        return PartStore(shard, placement, clock=time.time, stop=threading.Event(), transaction_tries=1)


def part(job_id: str, customer_id: str, part_no: int = 0) -> PartIdentity:
    """A part of a job of two customers."""
    return PartIdentity(
        job_id=job_id,
        customer_id=customer_id,
        run=1,
        digest="d" * 64,
        part_no=part_no,
        part_count=2,
        job_type="orders.insert",
        partner_id="acme",
        correlation_id=None,
    )


def dead_letter(body: str, header: OwnHeader) -> Message:
    """A message as the worker puts it on the failure queue."""
    return Message(body=body, attributes={OWN_ATTRIBUTE: Attribute("String", write_own_header(header))})
