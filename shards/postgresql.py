"""PostgreSQL: what can travel with another statement does, so that a part takes few round trips.

The driver begins no transactions: BEGIN goes with the first statement, as the time-outs do where a pooler
keeps none; a savepoint goes with the rows that it protects; a session is cleaned with a part's COMMIT.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from psycopg import ClientCursor
from sqlalchemy import Connection, Engine, event

from config import settings
from shards.connection_drivers import PatientPostgreSQL
from shards.guard import GuardedTransaction

BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
# DISCARD ALL would also throw away the statements that the driver has prepared.
CLEAN: Final = (
    "SET SESSION AUTHORIZATION DEFAULT; RESET ALL; SELECT pg_advisory_unlock_all();"
    " CLOSE ALL; UNLISTEN *; DISCARD SEQUENCES; DISCARD TEMP"
)

ALONE: Final = {"shardworker_alone": True}
"""Options of an INSERT of rows that leaves the transaction as it was if it fails; see `can_fail_alone`."""

AT_ONCE: Final = {"shardworker_at_once": True}
"""Options of a plain INSERT of rows that may take the transaction with it: few rows go in one statement."""

COPIED: Final = "shardworker_copied"
ROWS_AS_TEXT: Final = 50
STATEMENTS_REMEMBERED: Final = 1024
VALUES: Final = " VALUES "
PLACEHOLDER: Final = re.compile(r"%\(([^)]*)\)s")

_SAVE: Final = "SAVEPOINT shardworker_rows"
_RELEASE: Final = "RELEASE SAVEPOINT shardworker_rows"
_UNDO: Final = f"ROLLBACK TO SAVEPOINT shardworker_rows; {_RELEASE}"
_OURS: Final = "shardworker_postgresql"


def listen(engine: Engine, section: settings.Shard) -> None:
    """Attach what this file owns to a new engine."""
    opening = (BEGIN, _limits(section)) if section.pooler else (BEGIN,)

    def begin(connection: Connection) -> None:
        _driver_of(connection).opening = opening

    engine.update_execution_options(**{_OURS: True})
    event.listen(engine, "connect", _leave_begin_to_us)
    event.listen(engine, "begin", begin)
    event.listen(engine, "do_execute", _execute)
    event.listen(engine, "do_executemany", _execute_many)
    event.listen(engine, "do_execute_no_params", _execute_text)
    if not section.pooler:
        event.listen(engine, "commit", _clean_with_commit)
        event.listen(engine, "reset", _clean)


def can_fail_alone(connection: Connection) -> bool:
    """Whether the options `ALONE` mean anything on this connection: it is one of an engine of ours."""
    return bool(connection.get_execution_options().get(_OURS))


def copying(data: bytes) -> dict[str, Any]:
    """Options of a COPY from STDIN, on a connection of an engine of ours: the bytes that it reads."""
    return {COPIED: data}


def execute_with_opening(cursor: Any, statement: str, parameters: Any) -> None:
    """Execute a statement with parameters; what has to go before it in its transaction goes along."""
    if opening := _take_opening(cursor.connection):
        _execute_together(cursor, statement, [parameters], opening, alone=False)
    else:
        cursor.execute(statement, parameters)


def _limits(section: settings.Shard) -> str:
    limits = {"lock_timeout": section.lock_timeout, "statement_timeout": section.statement_timeout}
    milliseconds = {name: round(limit.total_seconds() * 1000) for name, limit in limits.items()}
    calls = (f"set_config('{name}', '{limit}', true)" for name, limit in milliseconds.items())
    return f"SELECT {', '.join(calls)}"


def _leave_begin_to_us(connection: Any, _record: Any) -> None:
    connection.autocommit = True


def _execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    opening, alone = _take_opening(cursor.connection), _is_alone(context)
    if (data := context.execution_options.get(COPIED)) is not None:
        _copy(cursor, statement, data, opening)
        return True
    if opening and not parameters:
        # it may be several statements, of which the driver gives the last one's result
        cursor.connection.execute("; ".join(opening), prepare=False)
        return False
    if opening or alone:
        _execute_together(cursor, statement, [parameters], opening, alone=alone)
    return bool(opening or alone)


def _copy(cursor: Any, statement: str, data: bytes, opening: Sequence[str]) -> None:
    for each in opening:
        cursor.execute(each, prepare=False)
    with cursor.copy(statement) as copy:
        copy.write(data)


def _execute_many(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    opening, alone = _take_opening(cursor.connection), _is_alone(context)
    if not (opening or alone):
        return _is_at_once(context) and _execute_at_once(cursor, statement, parameters)
    execute = _execute_together if len(parameters) <= ROWS_AS_TEXT else _execute_many_together
    execute(cursor, statement, parameters, opening, alone=alone)
    return True


def _execute_at_once(cursor: Any, statement: str, rows: Sequence[Any]) -> bool:
    if len(rows) > ROWS_AS_TEXT or statement.count(VALUES) != 1:
        return False
    whole = ClientCursor(cursor.connection).mogrify(*_as_one_statement(statement, rows))
    cursor.execute(whole, prepare=False)
    return True


def _execute_together(
    cursor: Any, statement: str, rows: Sequence[Any], opening: Sequence[str], *, alone: bool
) -> None:
    """Send all as one text, the values quoted by the driver: for few rows no other way costs it less."""
    quoting = ClientCursor(cursor.connection)
    if alone and len(rows) > 1 and statement.count(VALUES) == 1:
        statements = [quoting.mogrify(*_as_one_statement(statement, rows))]
    else:
        statements = [quoting.mogrify(statement, row) for row in rows]
    before = (*opening, _SAVE) if alone else opening
    with _undoing(cursor.connection, alone=alone):
        cursor.execute("; ".join((*before, *statements, *((_RELEASE,) if alone else ()))), prepare=False)
    for _ in before:
        cursor.nextset()


def _as_one_statement(statement: str, rows: Sequence[Mapping[str, Any]]) -> tuple[str, list[Any]]:
    """An INSERT of one row as one of all of them, and its values."""
    head, row, names = _insertion(statement)
    return f"{head} VALUES {', '.join([row] * len(rows))}", [
        values[name] for values in rows for name in names
    ]


@lru_cache(STATEMENTS_REMEMBERED)
def _insertion(statement: str) -> tuple[str, str, list[str]]:
    head, _, row = statement.partition(VALUES)
    return head, PLACEHOLDER.sub("%s", row), PLACEHOLDER.findall(row)


def _execute_many_together(
    cursor: Any, statement: str, rows: Sequence[Any], opening: Sequence[str], *, alone: bool
) -> None:
    """Send each row of values by itself for the one statement, without waiting for answers in between."""
    driver = cursor.connection
    with _undoing(driver, alone=alone), driver.pipeline():
        for each in (*opening, _SAVE) if alone else opening:
            driver.execute(each)
        cursor.executemany(statement, rows)
        if alone:
            driver.execute(_RELEASE)


@contextmanager
def _undoing(driver: PatientPostgreSQL, *, alone: bool) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if alone and not driver.closed:
            driver.execute(_UNDO, prepare=False)
        raise


def _is_alone(context: Any) -> bool:
    alone: bool = context.execution_options.get("shardworker_alone", False)
    return alone


def _is_at_once(context: Any) -> bool:
    at_once: bool = context.execution_options.get("shardworker_at_once", False)
    return at_once


def _execute_text(cursor: Any, statement: str, _context: Any) -> bool:
    for each in (*_take_opening(cursor.connection), statement):
        cursor.execute(each, prepare=False)
    return True


def _driver_of(connection: Connection) -> PatientPostgreSQL:
    driver = connection.connection.driver_connection
    assert isinstance(driver, PatientPostgreSQL)  # noqa: S101 - our engines connect with nothing else
    return driver


def _take_opening(driver: PatientPostgreSQL) -> Sequence[str]:
    opening = driver.opening
    driver.opening = ()
    return opening


def _clean_with_commit(connection: Connection) -> None:
    # a part's transaction is its connection's last one; others may want to find their session as they left it
    if isinstance(connection.get_transaction(), GuardedTransaction):
        _driver_of(connection).closing = CLEAN


def _clean(driver: PatientPostgreSQL, _record: Any, _state: Any) -> None:
    driver.rollback()
    if not driver.closing:
        driver.execute(CLEAN, prepare=False)
    driver.closing = ""
