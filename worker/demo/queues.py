"""Where the demo's three queues are: in a file of its directory, or on a broker, under names of their own."""

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

from worker.demo.failures import DemoFailed
from worker.transports.addresses import ORDERED_SUFFIX, BadQueueUrl, read_address

PREFIX: Final = "shardworker-demo"
USES: Final = ("requests", "results", "failures")
CONNECT_SECONDS: Final = 3.0
PORTS: Final = {
    "amqp": 5672,
    "amqps": 5671,
    "redis": 6379,
    "rediss": 6379,
    "sqs+http": 80,
    "sqs+https": 443,
    "sql+postgresql": 5432,
}
STAND_IN_REGION: Final = "us-east-1"
ACCOUNT: Final = re.compile(r"[0-9]{12}|queue")
"""What stands before a queue's name in the path of its URL, on SQS and on some that stand in for it."""


class Server(NamedTuple):
    """Where a broker listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class DemoQueues:
    """The queues of one demo: `url_of` is the URL for one of `USES`, without a password.

    `password` is the broker's where the URL that was given held one. `server` is None where nobody has to
    listen. `names` are the queues that stay on a broker. `region` is for stand-ins for
    SQS, which have none: boto3 wants one.
    """

    url_of: Callable[[str], str]
    password: str | None = field(default=None, repr=False)
    region: str | None = None
    server: Server | None = None
    names: tuple[str, ...] = ()


def embedded_queues(directory: Path) -> DemoQueues:
    """The embedded queues; all of them share one file in the directory."""
    file = quote(str(directory / "queues.db"))
    return DemoQueues(lambda use: f"sql://{file}?queue={use}")


def broker_queues(url: str, mark: str) -> DemoQueues:
    """Queues of the demo's own where the URL leads; a queue that it names is left alone.

    `mark` makes their names unique. Raises `BadQueueUrl`.
    """
    parts = _split(url)
    if parts.netloc.endswith(ORDERED_SUFFIX) or parts.path.endswith(ORDERED_SUFFIX):
        raise BadQueueUrl(
            "the demo sends copies of its jobs, and a FIFO queue drops copies: name another queue"
        )
    is_broker = parts.scheme.startswith(("amqp", "redis"))
    open_url = url.replace(parts.netloc, _without_password(parts.netloc), 1) if is_broker else url
    beside = _beside_on_sqs if parts.scheme.startswith("sqs") else _beside
    queues = DemoQueues(
        url_of=lambda use: beside(open_url, f"{PREFIX}-{mark}-{use}"),
        password=unquote(parts.password) if is_broker and parts.password else None,
        region=STAND_IN_REGION if parts.scheme in {"sqs+http", "sqs+https"} else None,
        server=_server(parts),
        names=tuple(f"{PREFIX}-{mark}-{use}" for use in USES),
    )
    read_address(queues.url_of(USES[0]))
    return queues


def check_server(queues: DemoQueues) -> None:
    """Raises `DemoFailed` where nothing listens, after seconds: before anything is made or waited for."""
    if queues.server is None:
        return
    try:
        socket.create_connection(queues.server, CONNECT_SECONDS).close()
    except OSError as error:
        host, port = queues.server
        raise DemoFailed(
            f"Nothing answers at {host}:{port} ({error.strerror or error}), so the demo can have no queues "
            "there, and made nothing. Start the broker, or name another with --queue; without --queue the "
            "demo needs none."
        ) from error


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - read here to find out whether it is a number
    except ValueError:
        raise BadQueueUrl("what was given is no URL of a queue") from None
    return parts


def _server(parts: SplitResult) -> Server | None:
    port = parts.port or PORTS.get(parts.scheme.removesuffix("+psycopg"))
    return Server(parts.hostname, port) if port and parts.hostname else None


def _without_password(netloc: str) -> str:
    before, separator, host = netloc.rpartition("@")
    user = before.partition(":")[0]
    return f"{user}{separator}{host}" if user else host


def _beside(url: str, name: str) -> str:
    base, _, query = url.partition("?")
    kept = [option for option in query.split("&") if option and not option.startswith("queue=")]
    return f"{base}?{'&'.join([*kept, f'queue={name}'])}"


def _beside_on_sqs(url: str, name: str) -> str:
    scheme, _, rest = url.partition("://")
    host, *segments = rest.rstrip("/").split("/")
    if not segments and scheme == "sqs":
        return f"sqs://{name}"
    account = [segment for segment in segments[:1] if len(segments) > 1 or ACCOUNT.fullmatch(segment)]
    return "/".join([f"{scheme}://{host}", *account, name])
