"""What each driver is told when it connects: time-outs above all. What the URL says itself wins."""

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import URL

from config import settings

CONNECT_TIMEOUT_SECONDS: Final = 3
SOCKET_GRACE_SECONDS: Final = 10  # the server's own statement time-out shall come first


def connect_arguments(url: URL, section: settings.Shard) -> dict[str, Any]:
    """The driver's connect arguments for a shard, but for those that stand in its URL's query."""
    makers = {"sqlite": _sqlite, "postgresql": _postgresql, "mariadb": _mariadb, "mysql": _mysql}
    arguments = makers[url.get_backend_name()](section)
    return {name: value for name, value in arguments.items() if name not in url.query}


def _sqlite(section: settings.Shard) -> dict[str, Any]:
    return {
        "timeout": section.lock_timeout.total_seconds(),
        "check_same_thread": False,
        "isolation_level": None,  # the driver's own BEGIN would be a deferred one
    }


def _postgresql(section: settings.Shard) -> dict[str, Any]:
    return {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "application_name": "shardworker",
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
        "options": (
            f"-c lock_timeout={_milliseconds(section.lock_timeout)}"
            f" -c statement_timeout={_milliseconds(section.statement_timeout)}"
        ),
    }


def _mysql(section: settings.Shard) -> dict[str, Any]:
    socket_seconds = _seconds(section.statement_timeout) + SOCKET_GRACE_SECONDS
    return {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "read_timeout": socket_seconds,
        "write_timeout": socket_seconds,
        "init_command": f"SET SESSION innodb_lock_wait_timeout={_seconds(section.lock_timeout)}",
    }


def _mariadb(section: settings.Shard) -> dict[str, Any]:
    arguments = _mysql(section)
    statement_limit = f", max_statement_time={section.statement_timeout.total_seconds()}"
    return {**arguments, "init_command": arguments["init_command"] + statement_limit}


def _milliseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)


def _seconds(duration: timedelta) -> int:
    """Whole seconds, at least one: zero would mean no limit or no waiting."""
    return max(1, round(duration.total_seconds()))
