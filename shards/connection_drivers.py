"""Connections that wait for a silent server no longer than they are told, for drivers that would."""

import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import psycopg
import pymysql
from psycopg.abc import PQGen
from pymysql.constants import CLIENT, CR
from sqlalchemy import URL

from config import settings
from shards.connection_tls import NoEncryptedConnection, shared_context, tls_mode
from shards.engine_options import connect_seconds, patience_seconds
from shards.local_rows import RowsConnection

Connect = Callable[[Any, Any, Any, dict[str, Any]], Any]
Result = TypeVar("Result")

COM_RESET_CONNECTION: Final = 0x1F
NOTHING_CAME: Final = 0


def connector(url: URL, section: settings.Shard) -> Connect | None:
    """The way to connect to a shard, for SQLAlchemy's event `do_connect`; `None`: the driver's own."""
    openers = {"psycopg": _open_postgresql, "pymysql": _open_pymysql, "mysqldb": _open_mysqlclient}
    opener = openers.get(url.get_driver_name())
    if opener is None:
        return None
    # who says anything about TLS in the URL says all of it there
    in_url = any(name.startswith("ssl") for name in url.query)
    tls = None if in_url else tls_mode(url, section)

    def connect(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> Any:
        return opener(section, tls, parameters)

    return connect


def _open_postgresql(
    section: settings.Shard, tls: settings.TlsMode | None, parameters: dict[str, Any]
) -> Any:
    try:
        connection = PatientPostgreSQL.connect(**parameters)
    except psycopg.OperationalError as error:
        # libpq has no codes for what it finds out by itself
        if tls in {"require", "verify"} and error.sqlstate is None:
            raise NoEncryptedConnection(tls) from error
        raise
    connection.patience_seconds = patience_seconds(section)
    connection.cancel_seconds = connect_seconds(section)
    return connection


def _open_pymysql(section: settings.Shard, tls: settings.TlsMode | None, parameters: dict[str, Any]) -> Any:
    # files are offered to the server, which is given rows in their place: see shards/local_rows.py
    flags = parameters.get("client_flag", 0) | CLIENT.LOCAL_FILES
    parameters = {**parameters, "client_flag": flags}
    connection = PatientPyMySQL(**parameters, **_pymysql_tls(section, tls), defer_connect=True)
    if tls == "prefer":
        connection.prefer_tls(shared_context(None, verify=False))
    try:
        connection.connect()
    except pymysql.err.OperationalError as error:
        if _is_about_tls(error):
            raise NoEncryptedConnection(tls) from error
        raise
    return connection


def _open_mysqlclient(
    section: settings.Shard, tls: settings.TlsMode | None, parameters: dict[str, Any]
) -> Any:
    import MySQLdb

    if tls == "prefer":
        # what it is built on knows no such mode: it would do without TLS
        with suppress(NoEncryptedConnection):
            return _open_mysqlclient(section, "require", {**parameters, "ssl_mode": "REQUIRED"})
    try:
        connection: Any = MySQLdb.connect(**parameters)
    except MySQLdb.OperationalError as error:
        if error.args[0] == CR.CR_SSL_CONNECTION_ERROR:
            raise NoEncryptedConnection(tls) from error
        raise
    if tls == "require" and not connection.server_capabilities & CLIENT.SSL:
        connection.close()
        raise NoEncryptedConnection(tls)
    return connection


def _pymysql_tls(section: settings.Shard, tls: settings.TlsMode | None) -> dict[str, Any]:
    if tls is None:
        return {}
    if tls in {"off", "prefer"}:  # the driver would make a context for each connection
        return {"ssl_disabled": True}
    return {"ssl": shared_context(section.tls_ca_file, verify=tls == "verify")}


def _is_about_tls(error: pymysql.err.OperationalError) -> bool:
    cause = getattr(error, "original_exception", None)
    return error.args[0] == CR.CR_SSL_CONNECTION_ERROR or isinstance(cause, ssl.SSLError)


class ServerSilent(psycopg.OperationalError):
    """The server did not answer in the time that a statement may take at most."""

    def __init__(self) -> None:
        super().__init__("The server does not answer: the connection was given up.")


class PatientPostgreSQL(psycopg.Connection[Any]):
    """Gives up after `patience_seconds` on one answer of the server.

    A server that hangs while its host lives acknowledges all that is sent to it, so that neither keep-alives
    nor its own statement time-out end a statement: the connection is closed then. But many statements that
    were sent together may rightly take so long, each for itself within its time-out. So the server is first
    asked to cancel what runs: one that can makes it a statement that took too long.
    """

    patience_seconds: float | None = None
    cancel_seconds: float | None = None
    """How long the server has to cancel a statement; without it, it is not asked to."""
    opening: Sequence[str] = ()
    """What goes to the server with the next statement: see shards/postgresql.py."""
    closing = ""
    """What goes to the server with the next COMMIT."""

    def wait(self, gen: PQGen[Result], *args: Any, **options: Any) -> Result:
        """Wait as psycopg does, which looks up from it ten times a second."""
        if self.patience_seconds is None:
            return super().wait(gen, *args, **options)
        try:
            return super().wait(self._patiently(gen, self.patience_seconds), *args, **options)
        except ServerSilent:
            self.close()
            raise

    def commit(self) -> None:
        """Commit; in the same round trip follows what `closing` says, but for a COMMIT that failed."""
        if self.closing and self.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            self.execute(f"COMMIT; {self.closing}", prepare=False)
        else:
            self.closing = ""
            super().commit()

    def _patiently(self, waiting: PQGen[Result], seconds: float) -> PQGen[Result]:
        deadline = time.monotonic() + seconds
        is_cancelled = False
        try:
            wanted = next(waiting)
            while True:
                ready = yield wanted
                if ready == NOTHING_CAME and time.monotonic() >= deadline:
                    if is_cancelled or self.cancel_seconds is None:
                        raise ServerSilent
                    self._ask_to_cancel(self.cancel_seconds)
                    is_cancelled, deadline = True, time.monotonic() + self.cancel_seconds
                wanted = waiting.send(ready)
        except StopIteration as done:
            result: Result = done.value
            return result

    def _ask_to_cancel(self, seconds: float) -> None:
        if not psycopg.capabilities.has_cancel_safe():
            raise ServerSilent  # the other way to ask has no time-out
        try:
            self.cancel_safe(timeout=seconds)
        except psycopg.Error as error:
            raise ServerSilent from error


class PatientPyMySQL(RowsConnection):
    """Ends the whole handshake after `connect_timeout`, where PyMySQL's covers no more than TCP's."""

    ctx: ssl.SSLContext
    _execute_command: Callable[[int, bytes], None]
    _read_ok_packet: Callable[[], object]
    _read_timeout: float | None

    def connect(self, sock: Any = None) -> None:
        """Connect and log in."""
        with patience(self, self.connect_timeout):
            super().connect(sock)

    def reset_session(self) -> None:
        """Take back all that was done to the session, but the database that it changed to."""
        self._execute_command(COM_RESET_CONNECTION, b"")
        self._read_ok_packet()

    def prefer_tls(self, context: ssl.SSLContext) -> None:
        """Encrypt if the server can; to be called before `connect`."""
        self.ssl = True
        self.ctx = context


@contextmanager
def patience(connection: Any, seconds: float | None) -> Iterator[None]:
    """Wait for each answer of the server for so long at most, inside the block, and cancel nothing."""
    inside: dict[type, dict[str, float | None]] = {
        PatientPostgreSQL: {"patience_seconds": seconds, "cancel_seconds": None},
        PatientPyMySQL: {"_read_timeout": seconds},
    }
    shorter = inside.get(type(connection), {})
    usual = {name: getattr(connection, name) for name in shorter}
    _set_attributes(connection, shorter)
    try:
        yield
    finally:
        _set_attributes(connection, usual)


def _set_attributes(connection: Any, values: dict[str, float | None]) -> None:
    for name, value in values.items():
        setattr(connection, name, value)
