"""The queues that the conformance suite runs against, each behind the same small face."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from moto.server import ThreadedMotoServer

from config.settings import Queues
from tests.support.postgresql import PostgreSQLServer
from tests.support.rabbitmq import RabbitServer
from tests.support.redis_server import RedisServer
from tests.support.sqs_server import SqsServer
from worker.transports.addresses import AmqpAddress, RedisAddress, SqlAddress, read_address
from worker.transports.amqp import AmqpTransport
from worker.transports.base import Transport
from worker.transports.factory import open_transport
from worker.transports.redis import RedisTransport
from worker.transports.sql import SqlTransport

LEASE = timedelta(seconds=30)


class ShiftedClock:
    """The real time, and what a test let pass on top of it."""

    def __init__(self) -> None:
        self._shift_seconds = 0.0

    def __call__(self) -> float:
        """Seconds since 1970."""
        return time.time() + self._shift_seconds

    def pass_time(self, seconds: float) -> None:
        """Let time pass at once."""
        self._shift_seconds += seconds


class RealClock(ShiftedClock):
    """For servers whose clock is their own: passing time takes time."""

    def pass_time(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class Backend:
    """A place for queues. Names are made unique, so that tests can share a server."""

    def __init__(self, url_of: Callable[[str], str], clock: ShiftedClock) -> None:
        self._url_of = url_of
        self._clock = clock
        self._suffix = uuid4().hex[:8]
        self._opened: list[Transport] = []
        self.pass_time = clock.pass_time

    def url(self, queue: str = "requests") -> str:
        """The URL of a queue of this test's."""
        return self._url_of(f"{queue}-{self._suffix}")

    def open(self, queue: str = "requests") -> Transport:
        """A transport of its own for the queue, closed at the test's end; the queue may be missing."""
        address = read_address(self.url(queue))
        transport: Transport
        if isinstance(address, SqlAddress):
            transport = SqlTransport(address.url, address.queue_name, clock=self._clock)
        elif isinstance(address, AmqpAddress):
            transport = rabbitmq_transport(address, clock=self._clock)
        elif isinstance(address, RedisAddress):
            transport = RedisTransport(address, password=lambda: None, clock=self._clock)
        else:
            settings = Queues(request=["sqs://a"], response="sqs://b", failure="sqs://c", region="eu-west-1")
            transport = open_transport(self.url(queue), settings, LEASE)
        self._opened.append(transport)
        return transport

    def close(self) -> None:
        """Close all transports."""
        for transport in self._opened:
            transport.close()


def sqlite_backend(directory: Path) -> Backend:
    """The embedded queue in a file of its own."""
    return Backend(lambda queue: f"sql://{directory}/queues.db?queue={queue}", ShiftedClock())


@contextmanager
def stand_in_backend() -> Iterator[Backend]:
    """SQS on the project's stand-in."""
    clock = ShiftedClock()
    with SqsServer(clock=clock) as server:
        yield Backend(lambda queue: f"{server.endpoint_url.replace('http', 'sqs+http')}/{queue}", clock)


def postgresql_backend(server: PostgreSQLServer) -> Backend:
    """The embedded queue in a database of its own."""
    database = f"queues_{uuid4().hex}"
    server.create_database(database)
    return Backend(lambda queue: f"sql+{server.url(database)}&queue={queue}", ShiftedClock())


def rabbitmq_backend(server: RabbitServer) -> Backend:
    """Queues on RabbitMQ: leases go by the test's clock, and delays by the broker's own."""
    return Backend(server.url, ShiftedClock())


def rabbitmq_transport(address: AmqpAddress, clock: Callable[[], float]) -> AmqpTransport:
    """A transport that holds at most forty messages."""
    return AmqpTransport(address, prefetch=40, password=lambda: None, clock=clock, monotonic=clock)


def redis_backend(server: RedisServer) -> Backend:
    """Queues on Redis; other processes of the test go by the server's own clock."""
    return Backend(server.url, ShiftedClock())


@contextmanager
def moto_urls() -> Iterator[Callable[[str], str]]:
    """Moto's server; the URLs of queues on it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield lambda queue: f"sqs+http://{host}:{port}/{queue}"
    finally:
        server.stop()
