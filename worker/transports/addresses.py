"""The queue URLs of the configuration, taken apart: `sqs`, `sqs+http`, `sql`, `sql+...`, `amqp`, `redis`."""

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

ORDERED_SUFFIX: Final = ".fifo"
"""The end of the name of a queue that keeps the order of its groups: one of SQS's FIFO queues."""

QUEUE_NAME: Final = re.compile(r"[0-9A-Za-z_-]{1,80}")
SQS_QUEUE: Final = re.compile(r"(?=.{1,80}\Z)[0-9A-Za-z_-]+(?:\.fifo)?")
REGION_IN_HOST: Final = re.compile(r"(?:^|\.)sqs\.([a-z0-9-]+)\.(?:vpce\.)?amazonaws\.com(?:\.cn)?$")
ENDPOINT: Final = re.compile(r"https?://(?:[0-9A-Za-z_.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?/?")
BROKER_QUEUE: Final = re.compile(r"(?!amq\.)[0-9A-Za-z_.-]{1,80}")
REDIS_DATABASE: Final = re.compile(r"/?[0-9]*")
SQL_BACKENDS: Final = frozenset({"sqlite", "postgresql"})
EXPECTED: Final = (
    "expected sqs://queue-name, sqs://sqs.REGION.amazonaws.com/ACCOUNT/queue-name, "
    "sqs+http://HOST:PORT/ACCOUNT/queue-name, "
    "sql:///absolute/path.db?queue=NAME, sql+postgresql+psycopg://HOST/DATABASE?queue=NAME, "
    "amqp://USER@HOST:5672/VHOST?queue=NAME or redis://HOST:6379/0?queue=NAME"
)
AMQP_EXPECTED: Final = "expected amqp://USER@HOST:5672/VHOST?queue=NAME (amqps:// with TLS)"
REDIS_EXPECTED: Final = "expected redis://HOST:6379/0?queue=NAME (rediss:// with TLS)"


class BadQueueUrl(ValueError):
    """A queue URL that cannot be read; the message says what was expected, and holds no password."""


@dataclass(frozen=True, slots=True)
class SqsAddress:
    """An SQS queue: its name, its URL where the address has it, and where to reach it."""

    queue_name: str
    queue_url: str | None = None
    endpoint_url: str | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class SqlAddress:
    """A queue in a database: what SQLAlchemy connects to, and the queue's name in the table."""

    url: URL
    queue_name: str


@dataclass(frozen=True, slots=True)
class AmqpAddress:
    """A queue on RabbitMQ: the URL that kombu connects to, maybe with a password, and the queue's name."""

    url: str = field(repr=False)
    queue_name: str


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A queue on Redis: the URL that kombu connects to, maybe with a password, and the queue's name."""

    url: str = field(repr=False)
    queue_name: str


Address = SqsAddress | SqlAddress | AmqpAddress | RedisAddress


def read_address(url: str) -> Address:
    """The address in a queue URL; raises `BadQueueUrl`."""
    scheme, separator, _ = url.partition("://")
    if separator and scheme in {"sqs", "sqs+http", "sqs+https"}:
        return _read_sqs(url, "http" if scheme == "sqs+http" else "https")
    if separator and scheme == "sql":
        return _read_sql_file(url)
    if separator and scheme.startswith("sql+"):
        return _read_sql(url.removeprefix("sql+"))
    if separator and scheme in {"amqp", "amqps"}:
        return AmqpAddress(*_read_broker(url, AMQP_EXPECTED))
    if separator and scheme in {"redis", "rediss"}:
        return _read_redis(url)
    found = f"the scheme {scheme!r}" if separator else "a text without ://"
    raise BadQueueUrl(f"{EXPECTED}; found {found}")


def _read_sqs(url: str, transfer: str) -> SqsAddress:
    parts = _split(url)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise BadQueueUrl(f"{EXPECTED}; an SQS address has no user, query or fragment")
    segments = [segment for segment in parts.path.split("/") if segment]
    name = _sqs_queue_name(segments[-1] if segments else parts.netloc)
    if not segments:
        return SqsAddress(name)
    endpoint = f"{transfer}://{parts.netloc}"
    check_endpoint(endpoint)
    region = REGION_IN_HOST.search(parts.hostname or "")
    queue_url = f"{endpoint}{parts.path}" if len(segments) > 1 else None
    return SqsAddress(name, queue_url, endpoint, region[1] if region else None)


def _read_sql_file(url: str) -> SqlAddress:
    parts = _split(url)
    # SQLAlchemy writes an absolute file with four slashes: so does who has just written a shard's URL.
    path = re.sub("^/+", "/", unquote(parts.path))
    if parts.netloc or len(path) < 2 or path.endswith("/"):  # noqa: PLR2004 (a path is more than its first slash)
        raise BadQueueUrl(f"{EXPECTED}; a file's address has three slashes and an absolute path")
    if not parts.query.startswith("queue=") or "&" in parts.query:
        raise BadQueueUrl(f"{EXPECTED}; the name of the queue in the file is missing: ?queue=NAME")
    return SqlAddress(sqlite_url(path), _queue_name(parts.query.removeprefix("queue=")))


def _read_sql(url: str) -> SqlAddress:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        raise BadQueueUrl(f"{EXPECTED}; what follows sql+ is no SQLAlchemy URL") from None
    if backend not in SQL_BACKENDS:
        raise BadQueueUrl(
            f"{EXPECTED}; found the database {backend!r}, the queue runs on {sorted(SQL_BACKENDS)}"
        )
    name = parsed.query.get("queue")
    if not isinstance(name, str):
        raise BadQueueUrl(f"{EXPECTED}; the name of the queue is missing: ?queue=NAME")
    if backend == "sqlite":
        return SqlAddress(sqlite_url(parsed.database or ""), _queue_name(name))
    return SqlAddress(parsed.difference_update_query(["queue"]), _queue_name(name))


def _read_redis(url: str) -> RedisAddress:
    address = RedisAddress(*_read_broker(url, REDIS_EXPECTED))
    if not REDIS_DATABASE.fullmatch(_split(address.url).path):
        raise BadQueueUrl(f"{REDIS_EXPECTED}; what follows the host is no database's number")
    return address


def _read_broker(url: str, expected: str) -> tuple[str, str]:
    """The URL without our query, and the queue's name. What is told repeats no part before the query."""
    parts = _split(url, expected)
    if not parts.hostname or _port_is_wrong(parts) or parts.fragment:
        raise BadQueueUrl(
            f"{expected}; the host is missing, or a part before it has characters to be written as %XX"
        )
    if not parts.query.startswith("queue=") or "&" in parts.query:
        raise BadQueueUrl(f"{expected}; the name of the queue is missing, or stands not alone: ?queue=NAME")
    name = parts.query.removeprefix("queue=")
    if name.endswith(ORDERED_SUFFIX):
        raise BadQueueUrl(f"{expected}; {name!r} is the name of a FIFO queue, which SQS alone has")
    if not BROKER_QUEUE.fullmatch(name):
        rule = "1 to 80 letters, digits, - . and _, not beginning with amq."
        raise BadQueueUrl(f"{expected}; {name!r} is no queue name ({rule})")
    return url.partition("?")[0], name


def _port_is_wrong(parts: SplitResult) -> bool:
    try:
        return parts.port == 0
    except ValueError:
        return True


def sqlite_url(path: str) -> URL:
    """SQLAlchemy's URL of an existing SQLite file: it is opened, never made."""
    if not path.startswith("/"):
        raise BadQueueUrl(f"{EXPECTED}; the file's path is not absolute")
    return URL.create("sqlite", database=f"file:{quote(path)}", query={"mode": "rw", "uri": "true"})


def check_endpoint(endpoint_url: str) -> None:
    """Raises `BadQueueUrl` for what cannot be an endpoint of SQS."""
    if not ENDPOINT.fullmatch(endpoint_url):
        raise BadQueueUrl(f"expected an endpoint such as http://127.0.0.1:9324, found {endpoint_url!r}")


def _sqs_queue_name(name: str) -> str:
    if not SQS_QUEUE.fullmatch(name):
        rule = "1 to 80 letters, digits, - and _, those of FIFO queues ending in .fifo"
        raise BadQueueUrl(f"{EXPECTED}; {name!r} is no queue name ({rule})")
    return name


def _queue_name(name: str) -> str:
    if name.endswith(ORDERED_SUFFIX):
        raise BadQueueUrl(f"{EXPECTED}; {name!r} is the name of a FIFO queue, which SQS alone has")
    if not QUEUE_NAME.fullmatch(name):
        raise BadQueueUrl(f"{EXPECTED}; {name!r} is no queue name (1 to 80 letters, digits, - and _)")
    return name


def _split(url: str, expected: str = EXPECTED) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise BadQueueUrl(f"{expected}; what was found is no URL") from None
