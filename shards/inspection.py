"""The inspection of a shard: how fast it answers, what may be written there, what its sessions are like."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import uuid4

from sqlalchemy import Connection, Executable, delete, insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from shards.engines import Shard
from shards.failures import KnownFailure, classify
from shards.inbox import InboxState, check_inbox, inbox
from shards.placement_rows import placement_rows

CLOCK_DIFFERENCE_MAXIMUM: Final = timedelta(seconds=5)
UTC_NAMES: Final = frozenset({"UTC", "ETC/UTC", "GMT", "ETC/GMT", "UCT", "ETC/UCT", "ZULU", "+00:00", "Z"})
ENCODINGS: Final = frozenset({"UTF8", "UTF-8", "UTF8MB4"})
ISOLATION: Final = "READ COMMITTED"
STRICT_MODES: Final = frozenset({"STRICT_TRANS_TABLES", "STRICT_ALL_TABLES"})

_POSTGRESQL: Final = """
SELECT current_setting('TimeZone') AS time_zone, current_setting('server_encoding') AS encoding,
 current_setting('transaction_isolation') AS isolation,
 extract(epoch FROM clock_timestamp())::float8 AS now,
 (SELECT setting::float8 / 1000 FROM pg_settings WHERE name = 'lock_timeout') AS lock_timeout,
 (SELECT setting::float8 / 1000 FROM pg_settings WHERE name = 'statement_timeout') AS statement_timeout,
 current_setting('max_connections')::int AS connections
"""
_MARIADB_NAMES: Final = (
    "time_zone",
    "system_time_zone",
    "character_set_database",
    "tx_isolation",
    "transaction_isolation",
    "innodb_lock_wait_timeout",
    "max_statement_time",
    "max_connections",
    "sql_mode",
)


_NO_TRANSACTIONS: Final = """
SELECT t.table_name FROM information_schema.tables AS t
 JOIN information_schema.engines AS e ON e.engine = t.engine
 WHERE t.table_schema = COALESCE(:schema, DATABASE()) AND t.table_type = 'BASE TABLE'
 AND e.transactions <> 'YES' ORDER BY t.table_name
"""


class Remark(NamedTuple):
    """A sentence about a shard: what is wrong, or only doubtful, and what to do."""

    text: str
    is_wrong: bool = True


class Session(NamedTuple):
    """What a session of a server is like. Times in seconds; None for what the server does not have."""

    time_zone: str
    encoding: str
    isolation: str
    now: float
    lock_timeout: float
    statement_timeout: float | None
    connections: int
    is_strict: bool = True


def measure_latency(shard: Shard, clock: Callable[[], float]) -> float:
    """How long a trivial query takes on a connection that is open, by the clock's units.

    Raises what `classify` reads.
    """
    with shard.connect(reading=True) as connection:
        connection.exec_driver_sql("SELECT 1")
        begun = clock()
        connection.exec_driver_sql("SELECT 1")
        return clock() - begun


def inspect_place(shard: Shard, schema: str | None, *, with_placements: bool) -> list[Remark]:
    """What is wrong with the worker's tables here, and with the rights on them.

    A transaction writes to the inbox, and is rolled back. `with_placements`: claims check the placement rows.
    """
    remarks = [Remark(one) for one in check_inbox(shard, schema)]
    remarks = remarks or _write_and_roll_back(shard, schema, with_placements=with_placements)
    return [*remarks, *map(_no_rollback, non_transactional_tables(shard, schema))]


def non_transactional_tables(shard: Shard, schema: str | None) -> list[str]:
    """The tables of this place whose engine takes no write back, by name; only MariaDB and MySQL have any.

    Raises what `classify` reads.
    """
    if shard.dialect != "mariadb":
        return []
    with shard.connect(schema, reading=True) as connection:
        return list(connection.execute(text(_NO_TRANSACTIONS), {"schema": schema}).scalars())


def inspect_session(shard: Shard, now: Callable[[], float], budget: int) -> list[Remark]:
    """What is wrong or doubtful with the shard's server, as a part would meet it.

    `now` gives the seconds since 1970; `budget` is how many connections a worker may have to the server.
    Raises what `classify` reads.
    """
    if shard.dialect == "sqlite":
        return []
    with shard.connect(reading=True) as connection:
        read = _read_postgresql if shard.dialect == "postgresql" else _read_mariadb
        session = read(connection)
        difference = timedelta(seconds=abs(session.now - now()))
    return [*_wrong(session), *_doubtful(session, shard, budget), *_clock(difference)]


def _write_and_roll_back(shard: Shard, schema: str | None, *, with_placements: bool) -> list[Remark]:
    doing = "to begin a transaction"
    try:
        with shard.connect(schema) as connection, connection.begin() as transaction:
            for right, table, statement in _writes(with_placements=with_placements):
                doing = f"{right} on {table}"
                connection.execute(statement)
            transaction.rollback()
    except (SQLAlchemyError, KnownFailure) as error:
        reason = classify(error, shard.dialect).message
        remedy = "Workers need that right, on a server that can be written to."
        return [Remark(f"It refuses {doing}: {reason} {remedy}")]
    return []


def _no_rollback(table: str) -> Remark:
    return Remark(
        f"The table {table} has an engine without transactions: what a failed part wrote there would stay. "
        f"Run ALTER TABLE {table} ENGINE=InnoDB."
    )


def _writes(*, with_placements: bool) -> Iterator[tuple[str, str, Executable]]:
    """What a worker does in a place, with the rights that it needs for it."""
    job_id = f"shardworker-check-{uuid4().hex}"
    mine = inbox.c.job_id == job_id
    yield "SELECT", inbox.name, select(inbox.c.run).where(mine)
    yield "INSERT", inbox.name, insert(inbox).values(_row(job_id))
    yield "UPDATE", inbox.name, update(inbox).where(mine).values(state=InboxState.OPEN.value)
    yield "DELETE", inbox.name, delete(inbox).where(mine)
    if with_placements:
        lock = select(placement_rows.c.epoch).where(placement_rows.c.customer_id == "-")
        yield "SELECT ... FOR SHARE", placement_rows.name, lock.with_for_update(read=True)


def _row(job_id: str) -> dict[str, Any]:
    texts = dict.fromkeys(("customer_id", "digest", "job_type", "partner_id"), "-")
    numbers = dict.fromkeys(("run", "attempt", "starts", "part_no", "part_count", "created_at"), 1)
    return {**texts, **numbers, "job_id": job_id, "state": InboxState.CLAIMED.value, "dead_letter": False}


def _read_postgresql(connection: Connection) -> Session:
    return Session(**connection.execute(text(_POSTGRESQL)).mappings().one())


def _read_mariadb(connection: Connection) -> Session:
    names = ", ".join(f"'{name}'" for name in _MARIADB_NAMES)
    shown = connection.execute(text(f"SHOW VARIABLES WHERE Variable_name IN ({names})"))
    found = {name.lower(): value for name, value in shown}
    statement_timeout = found.get("max_statement_time")
    zone = found["time_zone"]
    return Session(
        time_zone=found["system_time_zone"] if zone == "SYSTEM" else zone,
        encoding=found["character_set_database"],
        isolation=found.get("transaction_isolation", found.get("tx_isolation", "")).replace("-", " "),
        now=float(connection.exec_driver_sql("SELECT UNIX_TIMESTAMP(NOW(6))").scalar_one()),
        lock_timeout=float(found["innodb_lock_wait_timeout"]),
        statement_timeout=None if statement_timeout is None else float(statement_timeout),
        connections=int(found["max_connections"]),
        is_strict=not STRICT_MODES.isdisjoint(found["sql_mode"].split(",")),
    )


def _wrong(session: Session) -> Iterator[Remark]:
    if session.isolation.upper() != ISOLATION:
        yield Remark(
            f"Its transactions are {session.isolation.upper()}: parts need {ISOLATION}. Take what sets "
            "another isolation out of the URL, the pooler and the role."
        )
    if not session.is_strict:
        yield Remark(
            "Its sql_mode is not strict: a value that is too long would be cut in silence. "
            "Add STRICT_TRANS_TABLES."
        )


def _doubtful(session: Session, shard: Shard, budget: int) -> Iterator[Remark]:
    for sentence in filter(None, (_zone(session), _encoding(session), _connections(session, shard, budget))):
        yield Remark(sentence, is_wrong=False)
    limits = (
        ("lock_timeout", session.lock_timeout, shard.lock_timeout),
        ("statement_timeout", session.statement_timeout, shard.statement_timeout),
    )
    for name, seconds, wanted in limits:
        if seconds is not None and not 0 < seconds <= max(1.0, wanted.total_seconds()):
            yield Remark(_unlimited(name, seconds, wanted), is_wrong=False)


def _zone(session: Session) -> str | None:
    if session.time_zone.upper() in UTC_NAMES:
        return None
    return (
        f"Its sessions are in the time zone {session.time_zone}, not UTC: a time without a zone that a "
        "handler writes is taken for that zone's."
    )


def _encoding(session: Session) -> str | None:
    if session.encoding.upper() in ENCODINGS:
        return None
    return f"Its encoding is {session.encoding}: a text that it cannot hold fails its part."


def _connections(session: Session, shard: Shard, budget: int) -> str | None:
    if budget <= session.connections:
        return None
    return (
        f"The server takes {session.connections} connections, and one worker may open {budget}: lower "
        f'[servers."{shard.server}"] connections, or raise the server\'s limit.'
    )


def _unlimited(name: str, seconds: float, wanted: timedelta) -> str:
    found = f"is {seconds:g} s" if seconds else "has no limit"
    return (
        f"In its sessions {name} {found}, not {wanted.total_seconds():g} s as configured. Behind a pooler, "
        "set it on the role: a session's start-up options do not get through."
    )


def _clock(difference: timedelta) -> Iterator[Remark]:
    if difference > CLOCK_DIFFERENCE_MAXIMUM:
        yield Remark(
            f"Its clock and this machine's differ by {difference.total_seconds():.0f} s: times in the data "
            "and in the inbox will not agree. Let both follow a time server.",
            is_wrong=False,
        )
