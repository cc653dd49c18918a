"""The soak's databases: two servers behind proxies that fall ill, a file, and what stands in all of them."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import create_engine, text

from config.settings import Shard as ShardSection
from shards.engines import Shards
from shards.inbox import create_inbox
from tests.soak.cast import SHARDS, Server
from tests.support.mariadb import MariaDBServer, running_mariadb
from tests.support.postgresql import PostgreSQLServer, running_postgresql
from tests.support.sick_proxy import SickProxy, sick_proxy

TABLE: Final = (
    # no key: a row that comes twice is to be seen
    "CREATE TABLE soak_rows (customer_id VARCHAR(128) NOT NULL, job_id VARCHAR(60) NOT NULL,"
    " number BIGINT NOT NULL, amount BIGINT NOT NULL CHECK (amount >= 0))"
)
# What was committed has to outlast the server's process, which the tests' servers else do not promise.
DURABLE_POSTGRESQL: Final = {"synchronous_commit": "on", "max_connections": "100"}
DURABLE_MARIADB: Final = {"innodb_flush_log_at_trx_commit": "2", "max_connections": "100"}


class Databases:
    """The servers, each behind its proxy; `worker_urls` lead through the proxies, `urls` do not."""

    def __init__(
        self,
        directory: Path,
        postgresql: PostgreSQLServer,
        mariadb: MariaDBServer,
        proxies: Mapping[Server, SickProxy],
    ) -> None:
        self.postgresql, self.mariadb, self.proxies = postgresql, mariadb, proxies
        self.urls = {name: self._url(directory, name, server) for name, server in SHARDS.items()}
        self.worker_urls = {name: self._through_proxy(url, SHARDS[name]) for name, url in self.urls.items()}
        self.file = directory / "s1.db"
        # one thing happens to a server at a time
        self._locks = {server: threading.Lock() for server in proxies}

    def restart(self, server: Server, way: str, wait: Callable[[], object]) -> None:
        """Stop a server, `wait`, and start it: by `restart` in good order, by `crash` or `kill` without."""
        with self._locks[server]:
            if server == "mariadb":
                self._stop_mariadb(way)
            elif way == "kill":
                self.postgresql.kill()
            else:
                self.postgresql.stop()
            wait()
            (self.postgresql if server == "postgresql" else self.mariadb).start()

    def outage(self, server: Server, way: str, wait: Callable[[], object]) -> None:
        """Nobody reaches a server until `wait` is over."""
        proxy = self.proxies[server]
        with self._locks[server]:
            (proxy.refuse if way == "refuse" else proxy.swallow)()
            wait()
            proxy.heal()

    def lock_file(self, wait: Callable[[], object]) -> None:
        """Let nobody write to the file until `wait` is over."""
        with closing(sqlite3.connect(self.file, isolation_level=None, timeout=60)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            wait()
            connection.execute("ROLLBACK")

    def make_tables(self) -> None:
        """Give each shard its inbox and its table."""
        self.postgresql.create_database("p1")
        self.postgresql.create_database("p2")
        self.mariadb.create_database("m1")
        self.mariadb.create_database("m2")
        shards = Shards({name: ShardSection(url=url) for name, url in self.urls.items()})
        for name in self.urls:
            create_inbox(shards.get(name), None)
        shards.close()
        for url in self.urls.values():
            _query(url, TABLE)

    def query(self, name: str, statement: str) -> list[dict[str, Any]]:
        """What a shard answers, asked beside its proxy."""
        return _query(self.urls[name], statement)

    def _stop_mariadb(self, way: str) -> None:
        if way == "restart":
            self.mariadb.stop()
        else:
            self.mariadb.kill()

    def _url(self, directory: Path, name: str, server: Server | None) -> str:
        if server is None:
            return f"sqlite:///{directory}/{name}.db"
        return (self.postgresql if server == "postgresql" else self.mariadb).url(name)

    def _through_proxy(self, url: str, server: Server | None) -> str:
        if server is None:
            return url
        own = (self.postgresql if server == "postgresql" else self.mariadb).port
        return url.replace(f":{own}/", f":{self.proxies[server].port}/")


@contextmanager
def running_databases(directory: Path) -> Iterator[Databases]:
    """Both servers with empty shards, stopped and removed at the end."""
    with ExitStack() as stack:
        postgresql = stack.enter_context(running_postgresql(**DURABLE_POSTGRESQL))
        mariadb = stack.enter_context(running_mariadb(**DURABLE_MARIADB))
        proxies: dict[Server, SickProxy] = {
            "postgresql": stack.enter_context(sick_proxy(postgresql.port)),
            "mariadb": stack.enter_context(sick_proxy(mariadb.port)),
        }
        databases = Databases(directory, postgresql, mariadb, proxies)
        databases.make_tables()
        yield databases


def _query(url: str, statement: str) -> list[dict[str, Any]]:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            found = connection.execute(text(statement))
            return [dict(row) for row in found.mappings()] if found.returns_rows else []
    finally:
        engine.dispose()
