"""What each driver is told when it connects: time-outs above all. What the URL says itself wins."""

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import URL

from config import settings
from shards.connection_tls import mysqlclient_arguments, postgresql_arguments, tls_mode

SOCKET_GRACE_SECONDS: Final = 10  # the server's own statement time-out shall come first

# The server's side of the connection: a worker whose machine vanished would hold its part's locks for hours.
SERVER_KEEPALIVES: Final = {
    "tcp_keepalives_idle": 30,
    "tcp_keepalives_interval": 10,
    "tcp_keepalives_count": 3,
}


def connect_arguments(url: URL, section: settings.Shard) -> dict[str, Any]:
    """The driver's connect arguments for a shard, but for those that stand in its URL's query."""
    makers = {"sqlite": _sqlite, "postgresql": _postgresql, "mariadb": _mysql, "mysql": _mysql}
    arguments = makers[url.get_backend_name()](section)
    tls = tls_mode(url, section)
    if url.get_backend_name() == "postgresql":
        arguments |= postgresql_arguments(section, tls)
    elif url.get_driver_name() == "mysqldb":
        arguments |= mysqlclient_arguments(section, tls)
    return {name: value for name, value in arguments.items() if name not in url.query}


def _sqlite(section: settings.Shard) -> dict[str, Any]:
    return {
        "timeout": section.lock_timeout.total_seconds(),
        "check_same_thread": False,
        "isolation_level": None,  # the driver's own BEGIN would be a deferred one
    }


def _postgresql(section: settings.Shard) -> dict[str, Any]:
    return {
        "connect_timeout": connect_seconds(section),
        "application_name": "shardworker",
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
        "gssencmode": "disable",  # asking for Kerberos costs more than half of the time that connecting takes
        **(_through_pooler() if section.pooler else _postgresql_options(section)),
    }


def _postgresql_options(section: settings.Shard) -> dict[str, Any]:
    limits = {"lock_timeout": section.lock_timeout, "statement_timeout": section.statement_timeout}
    values = {name: _milliseconds(limit) for name, limit in limits.items()} | SERVER_KEEPALIVES
    return {"options": " ".join(f"-c {name}={value}" for name, value in values.items())}


def _through_pooler() -> dict[str, Any]:
    # the next transaction is another server session's, which knows neither prepared statements nor settings
    return {"prepare_threshold": None}


def connect_seconds(section: settings.Shard) -> int:
    """How long connecting may take, and every other question whether a server lives."""
    return _seconds(section.connect_timeout)


def patience_seconds(section: settings.Shard) -> int:
    """How long a connection waits for one answer of its server: a little longer than a statement may take."""
    return _seconds(section.statement_timeout) + SOCKET_GRACE_SECONDS


def _mysql(section: settings.Shard) -> dict[str, Any]:
    socket_seconds = patience_seconds(section)
    return {
        "connect_timeout": connect_seconds(section),
        "read_timeout": socket_seconds,
        "write_timeout": socket_seconds,
    }


def _milliseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)


def _seconds(duration: timedelta) -> int:
    """Whole seconds, at least one: zero would mean no limit or no waiting."""
    return max(1, round(duration.total_seconds()))
