"""Migrations: the worker's own tables in each place, brought from one version to the next."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from sqlalchemy import Column, Connection, Integer, MetaData, Table, func, select, text
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from shards import failure_codes
from shards.engines import Shard
from shards.failures import Kind, KnownFailure, classify, failure_of
from shards.migration_steps import LATEST_VERSION, RECORD, STEPS, VERSION_TABLE, Statement

LOCK_TIMEOUT_MILLISECONDS: Final = 3000
TRIES: Final = 5
RETRIED_KINDS: Final = frozenset({Kind.BUSY, Kind.RETRY_TRANSACTION})

version_rows: Final = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version", Integer, primary_key=True, autoincrement=False),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
    mariadb_engine="InnoDB",
    mariadb_charset="utf8mb4",
)

_VERSION: Final = select(func.max(version_rows.c.version))
_RECORDED: Final = select(version_rows.c.version)

# The worker's tables and indexes that are there, by name.
_PRESENT: Final = {
    "sqlite": "SELECT name FROM {schema}sqlite_master WHERE name LIKE 'shardworker%'",
    "postgresql": (
        "SELECT relname FROM pg_catalog.pg_class WHERE relname LIKE 'shardworker%' AND CASE"
        " WHEN CAST(:schema AS text) IS NULL THEN pg_catalog.pg_table_is_visible(oid) ELSE relnamespace ="
        " (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = :schema) END"
    ),
    "mariadb": (
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name LIKE 'shardworker%'"
        " UNION SELECT index_name FROM information_schema.statistics"
        " WHERE table_schema = COALESCE(:schema, DATABASE()) AND index_name LIKE 'shardworker%'"
    ),
}
_QUOTES: Final = {"sqlite": '"', "postgresql": '"', "mariadb": "`"}


class Migrated(NamedTuple):
    """The version that a place had, and the one that it has now."""

    old: int
    new: int


class Step(NamedTuple):
    """What brings a place to `version`: the statements, the last of which records it."""

    version: int
    statements: Sequence[str]


class MigrationBusy(KnownFailure):
    """Another runner is at this place, or its tables are locked, for longer than a runner waits."""

    def __init__(self) -> None:
        super().__init__(failure_of(failure_codes.BUSY, "another migration of this place is running"))


def migrate(shard: Shard, schema: str | None) -> Migrated:
    """Bring the worker's tables in this place to the latest version; what is there is left as it is.

    A table that an earlier release made is taken over. Two runners at once do no harm, and one that was
    broken off is finished by the next. A place of a later release is left alone. Locks are waited for up to
    three seconds at a time, five times, so that a worker's transactions are never held up for long.

    Raises what `classify` reads where the database refuses.
    """
    retrying = Retrying(
        retry=retry_if_exception(lambda error: classify(error, shard.dialect).kind in RETRIED_KINDS),
        stop=stop_after_attempt(TRIES),
        wait=wait_random_exponential(multiplier=0.1, max=2),
        reraise=True,
    )
    migrated: Migrated = retrying(_migrate_once, shard, schema)
    return migrated


def find_version(shard: Shard, schema: str | None) -> int:
    """The version of the worker's tables in this place; zero where they are missing.

    It is no higher than what is really there: where a table or an index was dropped, it is the version
    before that one. Raises what `classify` reads.
    """
    with shard.connect(schema, reading=True) as connection:
        return _find(connection, shard.dialect, schema).version


def plan(shard: Shard, schema: str | None) -> tuple[int, list[Step]]:
    """The version of this place, and what `migrate` would run there now. Nothing is changed.

    Raises what `classify` reads.
    """
    with shard.connect(schema, reading=True) as connection:
        found = _find(connection, shard.dialect, schema)
    return found.version, list(_steps(shard.dialect, schema, found))


def script(dialect: str, schema: str | None = None) -> list[Step]:
    """What `migrate` runs in a place that has nothing yet."""
    return list(_steps(dialect, schema, _Found(0, frozenset(), frozenset())))


def read_version(connection: Connection) -> int:
    """The version that the place of this connection has recorded; one query.

    Raises the database's error where there is no table of versions.
    """
    return connection.execute(_VERSION).scalar_one() or 0


def schema_prefix(dialect: str, schema: str | None) -> str:
    """What stands before a table's name in a text: the quoted schema and a dot, or nothing."""
    if schema is None:
        return ""
    quote = _QUOTES[dialect]
    return f"{quote}{schema.replace(quote, quote * 2)}{quote}."


class _Found(NamedTuple):
    """What stands in a place: its version, the recorded ones, and the names of tables and indexes."""

    version: int
    recorded: frozenset[int]
    present: frozenset[str]


def _migrate_once(shard: Shard, schema: str | None) -> Migrated:
    dialect = shard.dialect
    with shard.connect(schema) as connection, _exclusive_transaction(connection, dialect, schema):
        found = _find(connection, dialect, schema)
        for step in _steps(dialect, schema, found):
            for statement in step.statements:
                connection.exec_driver_sql(statement)
        return Migrated(found.version, max(found.version, LATEST_VERSION))


def _find(connection: Connection, dialect: str, schema: str | None) -> _Found:
    query = _PRESENT[dialect].format(schema=schema_prefix(dialect, schema))
    parameters = {} if dialect == "sqlite" else {"schema": schema}
    present = frozenset(connection.execute(text(query), parameters).scalars())
    recorded: frozenset[int] = frozenset()
    if VERSION_TABLE in present:
        recorded = frozenset(connection.execute(_RECORDED).scalars())
    return _Found(_version_of(dialect, recorded, present), recorded, present)


def _version_of(dialect: str, recorded: frozenset[int], present: frozenset[str]) -> int:
    """The highest recorded version, unless something that belongs to it or to one before is missing."""
    highest = max(recorded, default=0)
    for version, statements in enumerate(STEPS[dialect][:highest], start=1):
        if any(statement.creates not in present for statement in statements):
            return version - 1
    return highest


def _steps(dialect: str, schema: str | None, found: _Found) -> Iterator[Step]:
    prefix = schema_prefix(dialect, schema)
    for version, statements in enumerate(STEPS[dialect], start=1):
        texts = [
            _text(statement, prefix) for statement in statements if statement.creates not in found.present
        ]
        if version > max(found.recorded, default=0):
            texts.append(RECORD.format(schema=prefix, version=version))
        if texts:
            yield Step(version, texts)


def _text(statement: Statement, prefix: str) -> str:
    return statement.text.format(schema=prefix)


@contextmanager
def _exclusive_transaction(connection: Connection, dialect: str, schema: str | None) -> Iterator[None]:
    """A transaction that keeps other runners out of this place and waits for no lock for long."""
    try:
        with connection.begin():
            _LOCKS[dialect](connection, schema)
            yield
    finally:
        if dialect == "mariadb":
            # the pool gets neither the lock nor the changed time-out: the session ends with its connection
            connection.invalidate()


def _lock_sqlite(_connection: Connection, _schema: str | None) -> None:
    """Nothing to do: a transaction that writes has the whole file."""


def _lock_postgresql(connection: Connection, schema: str | None) -> None:
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MILLISECONDS}")
    key = "hashtextextended('shardworker.' || COALESCE(:schema, current_schema()), 0)"
    connection.execute(text(f"SELECT pg_advisory_xact_lock({key})"), {"schema": schema})


def _lock_mariadb(connection: Connection, schema: str | None) -> None:
    # each DDL statement commits: a lock of the session holds on where one of the transaction would not
    connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {LOCK_TIMEOUT_MILLISECONDS // 1000}")
    name = "CONCAT('shardworker.', MD5(COALESCE(:schema, DATABASE())))"
    lock = text(f"SELECT GET_LOCK({name}, {LOCK_TIMEOUT_MILLISECONDS / 1000})")
    if connection.execute(lock, {"schema": schema}).scalar_one() != 1:
        raise MigrationBusy


_LOCKS: Final[Mapping[str, Callable[[Connection, str | None], None]]] = {
    "sqlite": _lock_sqlite,
    "postgresql": _lock_postgresql,
    "mariadb": _lock_mariadb,
}
