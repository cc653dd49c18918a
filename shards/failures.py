"""What an error means: its kind, its code and what may be said about it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import exc

from config.codes import CODES
from config.result import ErrorDetail
from shards import failure_codes
from shards.diagnostics import Names, read_names
from shards.failure_codes import Kind, Verdict

__all__ = ["Failure", "Kind", "KnownFailure", "classify", "failure_of"]

DRIVERS: Final = frozenset({"psycopg", "sqlite3", "pymysql", "MySQLdb"})
RULES: Final = {
    "unique_violation": "unique",
    "foreign_key_violation": "foreign_key",
    "not_null_violation": "not_null",
    "check_violation": "check",
    "value_too_long": "length",
    "value_out_of_range": "range",
    "invalid_value": "type",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a part did not succeed and what is to be done about it.

    `message` and `details` name tables, columns and rules, never a value; they may be shown to a partner.
    `after` is the earliest next try that the handler asked for.
    """

    kind: Kind
    code: str
    message: str
    details: tuple[ErrorDetail, ...] = ()
    after: timedelta | None = None


class KnownFailure(Exception):
    """An error whose failure was known where it was raised."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def failure_of(verdict: Verdict, *facts: str, details: tuple[ErrorDetail, ...] = ()) -> Failure:
    """The failure for a verdict: its code's sentence, with the facts in parentheses."""
    sentence = CODES[verdict.code]
    message = f"{sentence.removesuffix('.')} ({', '.join(facts)})." if facts else sentence
    return Failure(verdict.kind, verdict.code, message, details)


def classify(error: BaseException, dialect: str) -> Failure:
    """What an error means that was raised inside a part's transaction.

    A database's error is told by its own code; only an error that never reached the database, and has none,
    is told by what the driver calls it. Any other exception is a transient `handler_error`, of which
    nothing is told but its type.
    """
    if isinstance(error, KnownFailure):
        return error.failure
    if isinstance(error, exc.TimeoutError):
        return failure_of(failure_codes.AWAY, "all connections are in use")
    origin = error.orig if isinstance(error, exc.StatementError) and error.orig else error
    verdict = _by_code(error, origin, dialect) or _without_code(error, origin)
    if (
        verdict is failure_codes.HANDLER
        and isinstance(error, exc.DBAPIError)
        and error.connection_invalidated
    ):
        verdict = failure_codes.AWAY
    if verdict is None:
        return failure_of(failure_codes.HANDLER, type(origin).__name__)
    if verdict.kind is Kind.PERMANENT:
        return _data_failure(verdict, read_names(origin, dialect))
    return failure_of(verdict, *read_names(origin, dialect).phrases(), _native_code(origin))


def is_from_standby(error: BaseException) -> bool:
    """Whether a server refused to write because it is a standby, or a primary that became one."""
    if not _is_from_driver(error) or _code_of(error) not in failure_codes.STANDBY_CODES:
        return False
    return not _is_forbidden_by_option(error)


def _is_forbidden_by_option(error: BaseException) -> bool:
    """Whether a server of MariaDB or MySQL has an option against the statement, and is no standby."""
    is_option = _code_of(error) == failure_codes.OPTION_FORBIDS
    return is_option and failure_codes.READ_ONLY.search(str(error)) is None


def _by_code(error: BaseException, origin: BaseException, dialect: str) -> Verdict | None:
    code = _code_of(origin) if _is_from_driver(origin) else None
    if isinstance(code, str):
        return failure_codes.by_sqlstate(code, _raised_in(origin))
    if isinstance(code, int) and dialect == "sqlite":
        return failure_codes.by_sqlite_code(code)
    if isinstance(code, int) and _is_forbidden_by_option(origin):
        return failure_codes.DEFECT
    if isinstance(code, int):
        connecting = isinstance(error, exc.DBAPIError) and error.statement is None
        return failure_codes.by_mariadb_errno(code, connecting=connecting)
    return None


def _raised_in(error: BaseException) -> str | None:
    """The function of PostgreSQL's own that raised the error: the same in every language."""
    diagnostics = getattr(error, "diag", None)
    return diagnostics.source_function if diagnostics is not None else None


def _without_code(error: BaseException, origin: BaseException) -> Verdict | None:
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return failure_codes.AWAY
    if not _is_from_driver(origin):
        return _client_side(origin) if isinstance(error, exc.StatementError) else None
    if _code_of(origin) is not None:
        return None
    names = {class_.__name__ for class_ in type(origin).__mro__}
    if "DataError" in names:
        return failure_codes.INVALID
    return failure_codes.AWAY if "OperationalError" in names else None


def _client_side(error: BaseException) -> Verdict | None:
    """The verdict on a value that SQLAlchemy or the driver refused before the database saw it."""
    if isinstance(error, OverflowError):
        return failure_codes.OUT_OF_RANGE
    refusals = (TypeError, ValueError, LookupError, ArithmeticError)
    return failure_codes.INVALID if isinstance(error, refusals) else None


def _is_from_driver(error: BaseException) -> bool:
    return any(class_.__module__.partition(".")[0] in DRIVERS for class_ in type(error).__mro__)


def _data_failure(verdict: Verdict, names: Names) -> Failure:
    rule = RULES.get(verdict.code)
    details = tuple(ErrorDetail(column=column, rule=rule) for column in names.columns)
    if not details and rule:
        details = (ErrorDetail(rule=rule),)
    return failure_of(verdict, *names.phrases(), details=details)


def _code_of(error: BaseException) -> str | int | None:
    """The code that the database gave: PostgreSQL's SQLSTATE, SQLite's or MariaDB's number."""
    first = error.args[0] if error.args else None
    number = getattr(error, "sqlite_errorcode", first)
    return number if isinstance(number, int) else getattr(error, "sqlstate", None)


def _native_code(error: BaseException) -> str:
    """The database's own code, for the operator who looks it up."""
    code = _code_of(error)
    if isinstance(code, str):
        return f"SQLSTATE {code}"
    if isinstance(name := getattr(error, "sqlite_errorname", None), str):
        return name
    return type(error).__name__ if code is None else f"error {code}"
