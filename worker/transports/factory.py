"""From a queue's URL to its transport. Only the transport that is asked for is imported."""

from collections.abc import Callable
from datetime import timedelta

from config.settings import Queues
from worker.transports.addresses import BadQueueUrl, SqlAddress, SqsAddress, check_endpoint, read_address
from worker.transports.base import Transport

NoteRequest = Callable[[str], None]

__all__ = ["BadQueueUrl", "open_transport"]


def open_transport(
    url: str, settings: Queues, lease: timedelta, note_request: NoteRequest = lambda _action: None
) -> Transport:
    """The transport of a queue URL; connects on first use. Raises `BadQueueUrl`.

    `settings` give region and endpoint where the URL has none; `lease` is what a created queue is given.
    `note_request` is told the action of each request to SQS.
    """
    address = read_address(url)
    if isinstance(address, SqlAddress):
        return _open_sql(address)
    return _open_sqs(address, settings, lease, note_request)


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
