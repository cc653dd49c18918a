"""Engines: one per shard, made on first use, its pool bounded by the shard's limit."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from config import settings
from shards import engine_events, failure_codes, postgresql
from shards.connection_budget import ServerConnections, Share
from shards.connection_pool import BudgetedPool
from shards.engine_options import connect_arguments
from shards.failures import KnownFailure, failure_of
from shards.guard import PartConnection
from shards.mariadb import keep_sessions
from shards.session_state import forget_on_return

DRIVERS: Final = {
    "sqlite": "sqlite+pysqlite",
    "postgresql": "postgresql+psycopg",
    "mariadb": "mariadb+pymysql",
    "mysql": "mysql+pymysql",
}
SQLITE_LIMIT: Final = 1  # SQLite has one writer at a time: more would only wait for each other
SERVER_LIMIT: Final = 4
POOL_TIMEOUT_SECONDS: Final = 1.0
POOL_RECYCLE_SECONDS: Final = 1800
IDLE_SECONDS: Final = 60.0

DEFAULT_PORTS: Final = {"postgresql": 5432, "mariadb": 3306, "mysql": 3306}

URL_EXAMPLES: Final = (
    "'sqlite:////directory/file.db', 'postgresql://user@host/database' or 'mariadb://user@host/database'"
)


class UnknownShard(Exception):
    """The directory names a shard that the configuration does not have."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(
            f"The shard {name!r} is not configured (configured: {', '.join(known) or 'none'}). "
            f"Add a section [shards.{name}] or correct the directory."
        )


class BadShardUrl(Exception):
    """A shard's URL cannot be used. The message never holds the URL, which may hold a password."""


class FileNotCreated(KnownFailure):
    """The file of an SQLite shard cannot be created: no directory, or no right to write there."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(failure_of(failure_codes.AWAY, f"{path} cannot be created: {error.strerror}"))


class Shard:
    """One database. Safe to use from several threads at once.

    Its connections are taken from the budget `connections` of its server; without one it has its own.

    `dialect` is `sqlite`, `postgresql` or `mariadb` (MySQL too); `limit` is how many connections there are
    at most, and so how many parts can run at once; `server` is the host that serves it, as `host:port`, which
    it may share with other shards (an SQLite file is a server of its own). `pooler`: its connections lead to
    a pooler that gives each transaction another session, so that nothing set outside of one is kept;
    `lock_timeout` and `statement_timeout` are those of the settings.

    Raises:
        BadShardUrl: the URL in the settings cannot be used.
    """

    def __init__(
        self, name: str, section: settings.Shard, connections: ServerConnections | None = None
    ) -> None:
        self.name = name
        self._section = section
        self._url = _read_url(name, section.url)
        backend = self._url.get_backend_name()
        self.dialect = "mariadb" if backend == "mysql" else backend
        self.server = section.server or _server_of(name, self._url)
        self._connections = connections or ServerConnections()
        self._share = Share(0)
        self.resize(section.limit)
        self.pooler = section.pooler
        self.lock_timeout = section.lock_timeout
        self.statement_timeout = section.statement_timeout
        self.proven_schemas: set[str | None] = set()  # whose inbox was seen to be of a version that will do
        self._engine: Engine | None = None
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"Shard({self.name!r}, dialect={self.dialect!r}, limit={self.limit})"

    @property
    def engine(self) -> Engine:
        """The shard's engine, made on first use."""
        if self._engine is None:
            with self._lock:
                if self._engine is None:
                    self._engine = _make_engine(self._url, self._section, self._connections, self._share)
        return self._engine

    def resize(self, limit: int | None) -> None:
        """Let it have so many connections from now on, within its server's budget; None for the default."""
        default = SQLITE_LIMIT if self.dialect == "sqlite" else SERVER_LIMIT
        self.limit = self._share.limit = min(limit or default, self._connections.maximum)

    @contextmanager
    def connect(self, schema: str | None = None, *, reading: bool = False) -> Iterator[PartConnection]:
        """A connection of the pool; tables without a schema of their own are looked for in `schema`.

        With `reading`, the transaction takes no write lock on SQLite. Raises what `classify` reads where the
        database cannot be connected to.
        """
        connection = PartConnection(self.engine)
        try:
            if schema is not None:
                connection.execution_options(schema_translate_map={None: schema})
            if reading:
                connection.execution_options(**engine_events.READING)
            yield connection
        finally:
            connection.close()

    def create_database(self) -> bool:
        """Create the file of an SQLite shard if it is missing; whether it was. A server's database is there.

        Raises:
            FileNotCreated: the file cannot be created.
        """
        if self.dialect != "sqlite":
            return False
        path = Path(self._url.database or "")
        missing = not path.exists()
        try:
            path.touch()
        except OSError as error:
            raise FileNotCreated(path, error) from error
        return missing

    def close(self) -> None:
        """Close the connections that are idle; one in use is closed when it comes back."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()


class Shards:
    """The configured shards by name, and the budget of connections to each of their servers.

    Raises:
        BadShardUrl: one of the URLs cannot be used.
    """

    def __init__(
        self, sections: Mapping[str, settings.Shard], servers: Mapping[str, settings.Server] | None = None
    ) -> None:
        self._servers = servers or {}
        self._connections: dict[str, ServerConnections] = {}
        self._shards = {name: self.beside(name, section) for name, section in sections.items()}

    def apply(self, sections: Mapping[str, settings.Shard], servers: Mapping[str, settings.Server]) -> None:
        """Go by these limits from now on, and know the shards that are new; nothing else of a shard changes.

        Raises:
            BadShardUrl: a new shard's URL cannot be used; nothing has changed.
        """
        self._servers, before = servers, self._servers
        try:
            new = {name: self.beside(name, sections[name]) for name in sections.keys() - self._shards.keys()}
        except BadShardUrl:
            self._servers = before
            raise
        for server, connections in self._connections.items():
            connections.resize(servers.get(server, settings.Server()).connections)
        for name, shard in self._shards.items():
            shard.resize(sections[name].limit)
        self._shards = {**self._shards, **new}

    def beside(self, name: str, section: settings.Shard) -> Shard:
        """Another database, whose connections count in the same budgets; `get` does not find it.

        Raises:
            BadShardUrl: its URL cannot be used.
        """
        server = section.server or _server_of(name, _read_url(name, section.url))
        if server not in self._connections:
            maximum = self._servers.get(server, settings.Server()).connections
            self._connections[server] = ServerConnections(maximum)
        return Shard(name, section, self._connections[server])

    def open_connections(self) -> dict[str, int]:
        """How many connections there are to each server, those that are idle included."""
        return {server: connections.open for server, connections in self._connections.items()}

    def close_idle(self) -> None:
        """Close the connections that were not used for a minute; to be called every few seconds."""
        for connections in self._connections.values():
            connections.close_idle(IDLE_SECONDS)

    @property
    def names(self) -> list[str]:
        """The shards' names, in the configuration's order."""
        return list(self._shards)

    def get(self, name: str) -> Shard:
        """The shard of this name; raises `UnknownShard`."""
        if name not in self._shards:
            raise UnknownShard(name, self.names)
        return self._shards[name]

    def close(self) -> None:
        """Close every shard's idle connections."""
        for shard in self._shards.values():
            shard.close()


def _read_url(name: str, text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise BadShardUrl(f"shards.{name}.url: expected a database URL such as {URL_EXAMPLES}.") from None
    backend = url.get_backend_name()
    if backend not in DRIVERS:
        raise BadShardUrl(f"shards.{name}.url: expected {URL_EXAMPLES}, found the database {backend!r}.")
    if backend == "sqlite" and not Path(url.database or "").is_absolute():
        raise BadShardUrl(f"shards.{name}.url: expected a file's absolute path, as in {URL_EXAMPLES}.")
    return url if "+" in url.drivername else url.set(drivername=DRIVERS[backend])


def _server_of(name: str, url: URL) -> str:
    backend = url.get_backend_name()
    if backend == "sqlite":
        return name
    hosts = url.query.get("host") or url.query.get("unix_socket") or url.host or "localhost"
    port = url.port or DEFAULT_PORTS[backend]
    names = (hosts,) if isinstance(hosts, str) else hosts
    return ",".join(one if ":" in one or "/" in one else f"{one}:{port}" for one in names)


def _make_engine(url: URL, section: settings.Shard, connections: ServerConnections, share: Share) -> Engine:
    backend = url.get_backend_name()
    engine = create_engine(
        url,
        connect_args=connect_arguments(url, section),
        poolclass=BudgetedPool,
        connections=connections,
        share=share,
        pool_timeout=POOL_TIMEOUT_SECONDS,
        pool_recycle=POOL_RECYCLE_SECONDS,
        # every transaction is ended by its owner: the pool's own ROLLBACK would be a round trip for nothing
        pool_reset_on_return=None if backend in {"mysql", "mariadb"} else "rollback",
        hide_parameters=True,
        **({} if backend == "sqlite" else {"isolation_level": "READ COMMITTED"}),
    )
    engine_events.listen(engine, section)
    if backend == "postgresql":
        postgresql.listen(engine, section)
    if backend in {"mysql", "mariadb"}:
        keep_sessions(engine, section)
    if not section.pooler:
        forget_on_return(engine)
    engine_events.connect_patiently(engine, section)
    return engine
