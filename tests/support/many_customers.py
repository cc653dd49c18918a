"""Many customers on 20 databases of a PostgreSQL server, one behind a proxy that can fall ill."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, insert, make_url, text

from shards.catalog import Catalog
from shards.catalog_tables import create_catalog, customers
from shards.open_directory import catalog_shard, open_catalog
from tests.support.postgresql import PostgreSQLServer
from tests.support.server_world import Place, ServerWorld
from tests.support.sick_proxy import SickProxy, sick_proxy
from tests.support.world import World, job
from worker.transports.base import Attribute, Message

SHARDS = 20
SHARDS_PER_SERVER = 5
SICK = "s00"
CUSTOMERS_WITH = text("SELECT customer_id FROM orders WHERE order_no = :order_no")
INBOX_STATEMENT = re.compile(r"\b(?:FROM|INTO|UPDATE) shardworker_inbox\b")


class CatalogWorld(World):
    """A world whose customers stand in a catalog."""

    def directory_section(self) -> str:
        """The catalog in place of the file's map."""
        catalog = f'[directory.catalog]\nurl = "sqlite:///{self.directory}/catalog.db"'
        return f'\n[directory]\ncache = "200ms"\n\n{catalog}\n'


class ManyPlaces(ServerWorld):
    """Shards on servers; where their customers live says the catalog."""

    def _directory(self) -> str:
        return self.world.directory_section()


@dataclass(frozen=True)
class Site:
    """The world, its customers by shard, those of the sick shard first, and what makes it ill."""

    sites: ManyPlaces
    server: PostgreSQLServer
    proxy: SickProxy
    catalog: Catalog
    customers: dict[str, list[str]]

    @property
    def world(self) -> World:
        """Queues and workers."""
        return self.sites.world

    @property
    def all_customers(self) -> list[str]:
        """In the order of the site's jobs: those of one shard together, the sick one's first."""
        return [name for there in self.customers.values() for name in there]

    def job(self, number: int) -> dict[str, Any]:
        """A job of all customers, with this order for each."""
        return job(f"job-{number}", self.all_customers, rows=[{"order_no": number}])

    def send_again(self, sent: dict[str, Any]) -> None:
        """Put a job on the request queue as a worker does that sends it once more."""
        header = json.dumps({"resends": 1})
        message = Message(json.dumps(sent), {"Shardworker": Attribute("String", header)})
        assert not self.world.request.send([message])

    def rows(self, number: int) -> Counter[str]:
        """How often each customer has this order."""
        found: Counter[str] = Counter()
        for place in self.sites.places.values():
            engine = create_engine(make_url(place.url))
            with engine.connect() as connection:
                found.update(connection.scalars(CUSTOMERS_WITH, {"order_no": number}).all())
            engine.dispose()
        return found

    def inbox_statements(self) -> int:
        """How often the server was asked for an inbox since it was started, if it logs its statements."""
        return len(INBOX_STATEMENT.findall((self.server.home / "log").read_text()))


@contextmanager
def many_customers(
    directory: Path, server: PostgreSQLServer, count: int, queue: str | None = None, **options: str
) -> Iterator[Site]:
    """A site with so many customers; `queue` is what the queues' URLs begin with, the embedded one's without.

    The server must allow enough connections, and is used up.
    """
    queue = queue or f"sql://{directory}/queues.db?queue="
    world = CatalogWorld(directory, f"{queue}requests", f"{queue}responses", f"{queue}failures", options)
    with sick_proxy(server.port) as proxy:
        try:
            sites = ManyPlaces(world, _places(server, proxy))
            homes = _homes(count)
            create_catalog(catalog_shard(world.settings))
            catalog = open_catalog(world.settings, time.time)
            _settle(world, homes)
            yield Site(sites, server, proxy, catalog, homes)
            catalog.close()
        finally:
            world.close()


def _places(server: PostgreSQLServer, proxy: SickProxy) -> list[Place]:
    places = []
    for number in range(SHARDS):
        name = f"s{number:02}"
        server.create_database(name)
        url = worker_url = server.url(name)
        if name == SICK:
            worker_url = server.url(name, connect_seconds=2).replace(f":{server.port}/", f":{proxy.port}/")
        host = f"db{number // SHARDS_PER_SERVER}.internal:5432"
        places.append(Place(name, url, worker_url, host))
    return places


def _homes(count: int) -> dict[str, list[str]]:
    each = count // SHARDS
    return {
        f"s{shard:02}": [f"c-{shard:02}-{number:04}" for number in range(each)] for shard in range(SHARDS)
    }


def _settle(world: World, homes: dict[str, list[str]]) -> None:
    rows = [{"customer_id": name, "shard": shard} for shard, names in homes.items() for name in names]
    with catalog_shard(world.settings).connect() as connection, connection.begin():
        connection.execute(insert(customers), rows)
