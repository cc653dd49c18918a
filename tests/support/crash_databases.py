"""Two shards of each kind of database for the crash matrix, and what tests ask them beside the worker."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from config.settings import Shard as ShardSection
from shards.engines import Shards
from shards.inbox import create_inbox
from tests.support.mariadb import running_mariadb
from tests.support.postgresql import running_postgresql

SHARDS = ("a", "b")
# no key: an effect that comes twice is to be seen
TABLE = "CREATE TABLE orders (order_no BIGINT NOT NULL, customer_id VARCHAR(128) NOT NULL, note VARCHAR(99))"
LOCK_WAITERS = {
    "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
    # its table of transactions is renewed only for who has not asked for a tenth of a second
    "mariadb": "SELECT variable_value FROM information_schema.global_status"
    " WHERE variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS'",
}

OPEN_SESSIONS = {
    "postgresql": (
        "SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction'",
        "SELECT pg_terminate_backend({session})",
    ),
    "mariadb": ("SELECT trx_mysql_thread_id FROM information_schema.innodb_trx", "KILL {session}"),
}


@dataclass(frozen=True)
class Databases:
    """Both shards' URLs by name; `port` is the one that they share, None for files."""

    kind: str
    urls: Mapping[str, str]
    port: int | None = None

    def urls_by(self, port: int) -> dict[str, str]:
        """The URLs as they lead through a proxy."""
        return {name: url.replace(f":{self.port}/", f":{port}/") for name, url in self.urls.items()}

    def make_tables(self) -> None:
        """Give each shard an inbox and a table of orders."""
        shards = Shards({name: ShardSection(url=url) for name, url in self.urls.items()})
        for name in self.urls:
            create_inbox(shards.get(name), None)
        shards.close()
        self._execute(TABLE)

    def clear(self) -> None:
        """Remove all rows."""
        self._execute("DELETE FROM orders", "DELETE FROM shardworker_inbox")

    def orders(self) -> Counter[str]:
        """How many orders each customer has."""
        return Counter(row["customer_id"] for row in self._query("SELECT customer_id FROM orders"))

    def order_numbers(self) -> list[int]:
        """The number of each order, in order."""
        return sorted(int(row["order_no"]) for row in self._query("SELECT order_no FROM orders"))

    def inbox(self) -> dict[str, dict[str, Any]]:
        """The inbox's rows by customer."""
        return {row["customer_id"]: row for row in self.inbox_rows()}

    def inbox_rows(self) -> list[dict[str, Any]]:
        """The inbox's rows."""
        return self._query("SELECT * FROM shardworker_inbox")

    def lock_waiters(self) -> int:
        """How many transactions of the server wait for another one's lock."""
        return sum(int(next(iter(row.values()))) for row in self._query(LOCK_WAITERS[self.kind]))

    def end_open_transactions(self) -> int:
        """End every session that is in a transaction, as the server's operator can; how many there were."""
        found, end = OPEN_SESSIONS[self.kind]
        # both shards are on one server: the first of them sees the sessions of both
        url = next(iter(self.urls.values()))
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            sessions = connection.execute(text(found)).scalars().all()
            for session in sessions:
                connection.execute(text(end.format(session=int(session))))
        engine.dispose()
        return len(sessions)

    def execute_on(self, name: str, *statements: str) -> None:
        """Run statements on one of the shards."""
        replace(self, urls={name: self.urls[name]})._execute(*statements)

    def _execute(self, *statements: str) -> None:
        for url in self.urls.values():
            engine = create_engine(url)
            with engine.begin() as connection:
                for statement in statements:
                    connection.execute(text(statement))
            engine.dispose()

    def _query(self, statement: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for url in self.urls.values():
            engine = create_engine(url)
            with engine.connect() as connection:
                rows += [dict(row) for row in connection.execute(text(statement)).mappings()]
            engine.dispose()
        return rows


@contextmanager
def _sqlite(directory: Path) -> Iterator[Databases]:
    for name in SHARDS:
        sqlite3.connect(directory / f"{name}.db").close()
    yield Databases("sqlite", {name: f"sqlite:///{directory}/{name}.db" for name in SHARDS})


@contextmanager
def _postgresql(_: Path) -> Iterator[Databases]:
    with running_postgresql() as server:
        for name in SHARDS:
            server.create_database(name)
        yield Databases("postgresql", {name: server.url(name) for name in SHARDS}, server.port)


@contextmanager
def _mariadb(_: Path) -> Iterator[Databases]:
    with running_mariadb() as server:
        for name in SHARDS:
            server.create_database(name)
        yield Databases("mariadb", {name: server.url(name) for name in SHARDS}, server.port)


_OPEN: dict[str, Callable[[Path], Any]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "mariadb": _mariadb,
}
KINDS: Sequence[str] = tuple(_OPEN)
SERVERS: Sequence[str] = tuple(LOCK_WAITERS)


class CrashDatabases:
    """Both shards of each kind, made when they are first asked for; the servers run until `close`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._opened: dict[str, Databases] = {}
        self._stack = ExitStack()

    def of(self, kind: str) -> Databases:
        """The two shards of this kind."""
        if kind not in self._opened:
            self._opened[kind] = self._stack.enter_context(_OPEN[kind](self._directory))
            self._opened[kind].make_tables()
        return self._opened[kind]

    def close(self) -> None:
        """Stop the servers."""
        self._stack.close()
