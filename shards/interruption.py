"""Interruption: how one thread ends what another one's connection is doing, on each database."""

import os
import socket
from contextlib import closing, suppress
from typing import Any, Final

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from shards.connection_pool import BudgetedPool
from shards.failures import KnownFailure
from shards.guard import PartConnection

CANCEL_SECONDS: Final = 5.0


class Interrupter:
    """Interrupts one connection, from any thread but the one that uses it, which has to make this.

    The connection must stay checked out while it is interrupted, or another part would be hit: whoever calls
    sees to that. Neither method raises, and neither waits for more than some seconds; both can be called
    again.
    """

    def __init__(self, connection: PartConnection) -> None:
        self._engine = connection.engine
        self._dialect = connection.dialect.name
        self._is_cut = False
        self._raw: Any = connection.connection.dbapi_connection
        self._thread_id = _thread_id(self._raw) if self._dialect in {"mysql", "mariadb"} else 0

    def cancel(self) -> None:
        """Let the statement that runs end with an error; nothing where none runs."""
        with suppress(self._engine.dialect.loaded_dbapi.Error, SQLAlchemyError, KnownFailure):
            match self._dialect:
                case "postgresql" if psycopg.capabilities.has_cancel_safe():
                    self._raw.cancel_safe(timeout=CANCEL_SECONDS)
                case "postgresql":
                    self._raw.cancel()
                case "sqlite":
                    self._raw.interrupt()
                case _:
                    self._execute_elsewhere(f"KILL QUERY {self._thread_id}")

    def cut(self) -> None:
        """End the connection, for the server to roll its transaction back; SQLite's can only be cancelled.

        What was cut has no place in the budget any more, until `uncut`.
        """
        if self._dialect != "sqlite" and not self._is_cut:
            self._is_cut = True
            self._pool.write_off()
        with suppress(self._engine.dialect.loaded_dbapi.Error, SQLAlchemyError, KnownFailure, OSError):
            match self._dialect:
                case "postgresql":
                    with socket.socket(fileno=os.dup(self._raw.fileno())) as same:
                        same.shutdown(socket.SHUT_RDWR)
                case "sqlite":
                    self._raw.interrupt()
                case _:
                    self._execute_elsewhere(f"KILL CONNECTION {self._thread_id}")

    def uncut(self) -> None:
        """Its thread came back with the connection, which it is about to give back to the pool."""
        if self._is_cut:
            self._is_cut = False
            self._pool.write_back()

    @property
    def _pool(self) -> BudgetedPool:
        pool = self._engine.pool
        assert isinstance(pool, BudgetedPool)  # noqa: S101 - every shard has one
        return pool

    def _execute_elsewhere(self, sql: str) -> None:
        with closing(self._pool.open_beyond_budget()) as record:
            connection: Any = record.dbapi_connection
            with closing(connection.cursor()) as cursor:
                cursor.execute(sql)


def _thread_id(raw: Any) -> int:
    return int(raw.thread_id())
