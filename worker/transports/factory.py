"""From a queue's URL to its transport. Only the transport that is asked for is imported."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from config.masking import holds_password
from config.settings import Queues
from worker.transports.addresses import (
    AmqpAddress,
    BadQueueUrl,
    RedisAddress,
    SqlAddress,
    SqsAddress,
    check_endpoint,
    read_address,
)
from worker.transports.base import Transport
from worker.transports.passwords import ReadPassword, password_reader

NoteRequest = Callable[[str], None]

PREFETCH: Final = 10

__all__ = ["BadQueueUrl", "open_transport"]


def open_transport(
    url: str,
    settings: Queues,
    lease: timedelta,
    note_request: NoteRequest = lambda _action: None,
    *,
    prefetch: int = PREFETCH,
) -> Transport:
    """The transport of a queue URL; connects on first use. Raises `BadQueueUrl`.

    `settings` give region and endpoint where the URL has none, and the file of the broker's password;
    `lease` is what a created queue is given. `note_request` is told the action of each request to SQS.
    `prefetch` is how many messages RabbitMQ hands over before the first of them is acked.
    """
    address = read_address(url)
    if isinstance(address, SqlAddress):
        return _open_sql(address)
    if isinstance(address, AmqpAddress):
        return _open_amqp(address, settings, prefetch)
    if isinstance(address, RedisAddress):
        return _open_redis(address, settings)
    return _open_sqs(address, settings, lease, note_request)


def _open_amqp(address: AmqpAddress, settings: Queues, prefetch: int) -> Transport:
    from worker.transports.amqp import AmqpTransport

    password = _password_for(address.url, settings)
    return AmqpTransport(address, prefetch=prefetch, password=password, clock=time.time)


def _open_redis(address: RedisAddress, settings: Queues) -> Transport:
    try:
        from worker.transports.redis import RedisTransport
    except ModuleNotFoundError as error:
        if error.name != "redis":
            raise
        raise BadQueueUrl(
            "a queue on Redis needs the package redis, which is not installed: "
            "install shardworker with its extra, shardworker[redis]"
        ) from error
    return RedisTransport(address, password=_password_for(address.url, settings))


def _password_for(url: str, settings: Queues) -> ReadPassword:
    """Reads the file's password; not for a URL that holds one."""
    return password_reader(None if holds_password(url) else settings.password_file)


def _open_sql(address: SqlAddress) -> Transport:
    from worker.transports.sql import SqlTransport

    return SqlTransport(address.url, address.queue_name)


def _open_sqs(
    address: SqsAddress, settings: Queues, lease: timedelta, note_request: NoteRequest
) -> Transport:
    from worker.transports.sqs import SqsTransport

    endpoint_url = address.endpoint_url or settings.endpoint_url
    if endpoint_url is not None:
        check_endpoint(endpoint_url)
    reached = SqsAddress(
        address.queue_name,
        address.queue_url,
        endpoint_url,
        address.region or settings.region,
    )
    return SqsTransport(reached, lease=lease, note_request=note_request)
