"""MariaDB's and MySQL's own: what a session is set to and taken back to; whether a transaction goes on."""

from datetime import timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError

from config import settings
from shards import failure_codes
from shards.connection_drivers import PatientPyMySQL
from shards.failures import KnownFailure, failure_of

NO_SUCH_SAVEPOINT: Final = 1305
MARK: Final = "shardworker_part"
ORIGIN: Final = "shardworker_origin"
LOGIN: Final = "shardworker_login"
UTF8_BYTES_MAXIMUM: Final = 4
# A worker whose machine is gone keeps its part's locks for so long: by default it would be eight hours.
IDLE_SECONDS_MAXIMUM: Final = 1800
# Otherwise a value that is too long, out of range or no date is cut or replaced, with a mere warning.
STRICT: Final = "STRICT_TRANS_TABLES"


class Origin(NamedTuple):
    """What a session has from its connect arguments and must have again for the next part."""

    database: str | None
    sql_mode: str


def keep_sessions(engine: Engine, section: settings.Shard) -> None:
    """Set each session of the engine to what parts need, and again when it goes back to the pool.

    What a handler left in it (a database that it changed to, variables, temporary tables, locks) is gone by
    then. A session that cannot be taken back is thrown away with its connection.
    """
    sessions = _Sessions(engine, section)
    if engine.driver == "mysqldb":
        event.listen(engine, "do_connect", sessions.note_login, insert=True)
    event.listen(engine, "connect", sessions.set_up)
    if not section.pooler:
        event.listen(engine, "reset", sessions.take_back)


class StatementTooLarge(KnownFailure):
    """The server would cut the connection, which would look like a shard that is away: it was not sent."""

    def __init__(self) -> None:
        super().__init__(failure_of(failure_codes.TOO_LONG, "larger than the server's max_allowed_packet"))


class _Sessions:
    def __init__(self, engine: Engine, section: settings.Shard) -> None:
        self._engine = engine
        self._section = section

    def note_login(self, _dialect: Any, record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
        record.info[LOGIN] = parameters  # where the password that is read at each connect comes to stand, too

    def set_up(self, connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@SESSION.max_allowed_packet, DATABASE(), @@SESSION.sql_mode")
            bytes_maximum, *origin = cursor.fetchone()
        record.info[ORIGIN] = Origin(*origin)
        _refuse_larger_statements(connection, bytes_maximum)
        self._set(connection, record.info[ORIGIN])

    def take_back(self, connection: Any, record: Any, _state: Any) -> None:
        _forget(connection, record.info)
        self._set(connection, record.info[ORIGIN])

    def _set(self, connection: Any, origin: Origin) -> None:
        is_mariadb = bool(getattr(self._engine.dialect, "is_mariadb", False))
        with connection.cursor() as cursor:
            cursor.execute(session_statement(self._section, is_mariadb=is_mariadb), origin)
            if (own := self._engine.url.query.get("init_command")) is not None:
                cursor.execute(own)


def session_statement(section: settings.Shard, *, is_mariadb: bool) -> str:
    """The one statement that sets a session up; its parameters are an `Origin`'s.

    It fails in another database than the origin's: `USE` outlives everything else that is taken back.
    """
    assignments = [
        f"sql_mode = IF(DATABASE() <=> %s, CONCAT(%s, ',{STRICT}'), NULL)",
        f"innodb_lock_wait_timeout = {_whole_seconds(section.lock_timeout)}",
        "autocommit = 0",
        f"wait_timeout = {IDLE_SECONDS_MAXIMUM}",
    ]
    if is_mariadb:
        assignments.append("tx_isolation = 'READ-COMMITTED'")
        assignments.append(f"max_statement_time = {section.statement_timeout.total_seconds()}")
    else:
        assignments.append("transaction_isolation = 'READ-COMMITTED'")
    return "SET SESSION " + ", ".join(assignments)


def set_mark(connection: Connection) -> None:
    """Mark the connection's transaction, so that `mark_stands` can tell whether it is still the same.

    The driver's view is no proof: after a handler's own COMMIT, or a statement that commits unasked, the next
    one begins another transaction in silence. A savepoint lives exactly as long as its transaction.
    """
    connection.exec_driver_sql(f"SAVEPOINT {MARK}")


def mark_stands(connection: Connection) -> bool:
    """Whether the transaction that was marked is still the same; the mark is taken away."""
    try:
        connection.exec_driver_sql(f"RELEASE SAVEPOINT {MARK}")
    except DBAPIError as error:
        if error.orig is not None and error.orig.args[:1] == (NO_SUCH_SAVEPOINT,):
            return False
        raise
    return True


def _forget(connection: Any, info: dict[str, Any]) -> None:
    if isinstance(connection, PatientPyMySQL):
        connection.reset_session()
        return
    # mysqlclient cannot send the reset alone: a new login does the same
    login = info[LOGIN]
    password = login.get("password", login.get("passwd", ""))
    connection.change_user(login.get("user", ""), password, info[ORIGIN].database or "")


def _refuse_larger_statements(connection: Any, bytes_maximum: int) -> None:
    # both drivers put a statement together with its values, and send it by this method
    send = connection.query

    def query(statement: str | bytes, *arguments: Any, **options: Any) -> Any:
        if _size(statement, bytes_maximum) >= bytes_maximum:
            raise StatementTooLarge
        return send(statement, *arguments, **options)

    connection.query = query


def _size(statement: str | bytes, bytes_maximum: int) -> int:
    if isinstance(statement, str) and len(statement) * UTF8_BYTES_MAXIMUM >= bytes_maximum:
        return len(statement.encode("utf-8", "surrogateescape"))
    return len(statement)


def _whole_seconds(duration: timedelta) -> int:
    return max(1, round(duration.total_seconds()))
