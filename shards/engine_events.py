"""What happens on an engine's connections: passwords at connect time, SQLite's pragmas and its BEGIN."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError

from config import settings
from shards import failure_codes
from shards.connection_drivers import connector, patience
from shards.engine_options import connect_seconds
from shards.failures import KnownFailure, classify, failure_of, is_from_standby
from shards.guard import PartConnection

READING: Final = {"shardworker_reading": True}
"""Execution options of a connection that only reads."""

PING_AFTER_SECONDS: Final = 30.0
LAST_USED: Final = "shardworker_last_used"
SQLITE_PRAGMAS: Final = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")


class PasswordUnreadable(KnownFailure):
    """A shard's password file cannot be read: the shard cannot be asked until it can."""

    def __init__(self, path: Path, error: OSError) -> None:
        reason = f"the password file {path} cannot be read: {error.strerror}"
        super().__init__(failure_of(failure_codes.AWAY, reason))


class ValueRefused(KnownFailure):
    """The driver could not even send a value: too large a number, or text that is not Unicode."""

    def __init__(self, error: BaseException) -> None:
        too_large = isinstance(error, OverflowError)
        super().__init__(failure_of(failure_codes.OUT_OF_RANGE if too_large else failure_codes.INVALID))


def listen(engine: Engine, section: settings.Shard, clock: Callable[[], float] = time.monotonic) -> None:
    """Attach what this file owns to a new engine. `clock` gives seconds that only grow."""
    event.listen(engine, "handle_error", _note_error)
    event.listen(engine, "handle_error", _refuse_value)
    if section.password_file is not None:
        _read_password_at_connect(engine, section.password_file)
    if engine.dialect.name != "sqlite":
        _ping_after_idleness(engine, connect_seconds(section), clock)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "do_connect", _open_existing_file)
        event.listen(engine, "connect", _set_pragmas)
        event.listen(engine, "begin", _begin_sqlite)
        event.listen(engine, "before_cursor_execute", _refuse_outside_transaction)
        event.listen(engine, "handle_error", _note_end_of_transaction)


def connect_patiently(engine: Engine, section: settings.Shard) -> None:
    """Let `connector` make the engine's connections; what else listens for that must be there by now."""
    if (connect := connector(engine.url, section)) is not None:
        event.listen(engine, "do_connect", connect)


def _read_password_at_connect(engine: Engine, path: Path) -> None:
    # read anew for each connection, so that a changed password needs no restart
    def set_password(_dialect: Any, _record: Any, _arguments: list[Any], parameters: dict[str, Any]) -> None:
        try:
            parameters["password"] = path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise PasswordUnreadable(path, error) from error

    event.listen(engine, "do_connect", set_password)


def _ping_after_idleness(engine: Engine, patience_seconds: int, clock: Callable[[], float]) -> None:
    # a ping is a round trip: a connection that was in use a moment ago is taken to be alive
    def note_use(_connection: Any, record: Any) -> None:
        record.info[LAST_USED] = clock()

    def ping(connection: Any, record: Any, _proxy: Any) -> None:
        now = clock()
        if now - record.info.get(LAST_USED, now) > PING_AFTER_SECONDS:
            _ping(engine, connection, patience_seconds)

    event.listen(engine, "checkin", note_use)
    event.listen(engine, "checkout", ping)


def _ping(engine: Engine, connection: Any, patience_seconds: int) -> None:
    try:
        with patience(connection, patience_seconds):
            engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error as error:
        raise DisconnectionError from error  # the pool opens another one in its place


def _note_error(context: ExceptionContext) -> None:
    if isinstance(context.connection, PartConnection):
        context.connection.note_error(context.original_exception)
    if is_from_standby(context.original_exception):
        # the pool's connections would lead there for ever: new ones find the primary
        context.is_disconnect = True


def _open_existing_file(
    _dialect: Any, _record: Any, arguments: list[Any], parameters: dict[str, Any]
) -> None:
    # a file that is missing is a shard that is away: an empty new one would hide that
    arguments[0] = f"file:{quote(arguments[0])}?mode=rw"
    parameters["uri"] = True


def _set_pragmas(connection: Any, _record: Any) -> None:
    for pragma in SQLITE_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    if isinstance(connection, PartConnection):
        connection.driver, connection.ended_by = None, None
    # a deferred BEGIN that writes later fails at once, whatever the lock time-out, if another wrote meanwhile
    reading = connection.get_execution_options().get("shardworker_reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _refuse_outside_transaction(connection: Connection, cursor: Any, *_: Any) -> None:
    if isinstance(connection, PartConnection):
        if connection.ended_by is not None:
            raise KnownFailure(classify(connection.ended_by, "sqlite")) from connection.ended_by
        driver = cursor.connection
        connection.driver = driver if driver.in_transaction else None


def _note_end_of_transaction(context: ExceptionContext) -> None:
    # An interrupt, a full disk, ON CONFLICT ROLLBACK: SQLite has rolled back everything by itself. Whatever a
    # handler sends afterwards would be committed at once, and stay.
    connection = context.connection
    driver = connection.driver if isinstance(connection, PartConnection) else None
    if driver is not None and not driver.in_transaction:
        assert isinstance(connection, PartConnection)  # noqa: S101 - others have no driver noted
        connection.ended_by = context.original_exception


def _refuse_value(context: ExceptionContext) -> None:
    if isinstance(context.original_exception, OverflowError | UnicodeEncodeError):
        raise ValueRefused(context.original_exception) from context.original_exception
