"""The connection to Redis: made by kombu at the first call, shared by threads; what its errors mean."""

import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from threading import Lock
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from kombu.connection import Connection
from kombu.exceptions import OperationalError
from redis import CredentialProvider, Redis
from redis.commands.core import Script
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError

from worker.transports.addresses import RedisAddress
from worker.transports.base import TransportError

ANSWER_MAXIMUM: Final = timedelta(seconds=10)
"""How long a call waits for the server before it fails; blocking calls are shorter."""

OPTIONS: Final[dict[str, Any]] = {
    "socket_connect_timeout": 5,
    "socket_timeout": ANSWER_MAXIMUM.total_seconds(),
    "socket_keepalive": True,
    "max_connections": 100,
    "client_name": "shardworker",
}
VERIFIED: Final = {"ssl_cert_reqs": ssl.CERT_REQUIRED}


class FilePassword(CredentialProvider):
    """Gives each new connection the password that is valid now."""

    def __init__(self, user: str | None, password: Callable[[], str | None]) -> None:
        self._user = user
        self._password = password

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """User and password, or the password alone where there is no user."""
        password = self._password() or ""
        return (self._user, password) if self._user else (password,)


class RedisLink:
    """One server as kombu reaches it. Connections are made anew by themselves after they broke."""

    def __init__(self, address: RedisAddress, password: Callable[[], str | None]) -> None:
        self._address = address
        self._name = address.queue_name
        self._password = password
        self._lock = Lock()
        self._connecting = Lock()
        self._closed = False
        self._calls = 0
        self._connection: Connection | None = None
        self._client: Redis | None = None
        self._scripts: dict[str, Script] = {}

    @contextmanager
    def calling(self) -> Iterator[Redis]:
        """What commands are given to; their failures become `TransportError`."""
        with self._lock:
            if self._closed:
                raise TransportError(f"queue {self._name}: it was closed, nothing was done")
            self._calls += 1
        try:
            yield self._connected()
        except (RedisError, OSError, OperationalError) as error:
            if isinstance(error, ReadOnlyError):
                self._leave()
            raise TransportError(
                f"queue {self._name}: Redis failed ({_cause(error)}); the call has to be repeated"
            ) from error
        finally:
            self._end_call()

    def run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """What the script answers; the server is told its text once."""
        with self.calling() as client:
            known = self._scripts.get(script)
            if known is None:
                known = self._scripts[script] = client.register_script(script)
            return known(keys, arguments, client)

    def close(self) -> None:
        """Let go of all connections, as soon as the calls that are under way have ended."""
        with self._lock:
            self._closed = True
            self._let_go_if_unused()

    def _end_call(self) -> None:
        with self._lock:
            self._calls -= 1
            self._let_go_if_unused()

    def _let_go_if_unused(self) -> None:
        # cut under a call that reads, a connection fails in ways that no list of errors names
        if self._closed and not self._calls and self._connection is not None:
            self._connection.release()
            self._connection = None

    def _leave(self) -> None:
        """Close what is open to a server that is a replica now: its name may lead to another one."""
        if self._client is not None:
            self._client.connection_pool.disconnect(inuse_connections=False)

    def _connected(self) -> Redis:
        client = self._client
        if client is None:
            with self._connecting:
                client = self._client = self._client or self._connect()
        return client

    def _connect(self) -> Redis:
        self._connection = connection = self._open()
        connection.ensure_connection(max_retries=1, interval_start=0)
        client: Redis
        with connection.channel().conn_or_acquire() as client:
            return client

    def _open(self) -> Connection:
        parts = urlsplit(self._address.url)
        options: dict[str, Any] = {"transport_options": OPTIONS}
        if parts.scheme == "rediss":
            # without this kombu would take any certificate
            options["ssl"] = VERIFIED
        if self._password() is not None:
            user = unquote(parts.username) if parts.username else None
            options["credential_provider"] = FilePassword(user, self._password)
        return Connection(self._address.url, **options)


def _cause(error: Exception) -> str:
    """A broken connection in its own words; else the error's kind alone: a text can hold what was sent."""
    if isinstance(error, RedisConnectionError | OSError | OperationalError):
        return str(error) or type(error).__name__
    return type(error).__name__
