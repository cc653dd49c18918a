"""Connections to RabbitMQ: how they are made, what can fail on them, and what is told of a failure."""

import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

from amqp.exceptions import AccessRefused, NotFound
from kombu.connection import Connection
from kombu.exceptions import KombuError
from kombu.transport.pyamqp import Transport as Pyamqp

from worker.transports.addresses import AmqpAddress
from worker.transports.amqp_frames import tolerant_frames
from worker.transports.base import QueueMissing, TransportError

CONNECT_SECONDS: Final = 5.0
HEARTBEAT_SECONDS: Final = 20
ANSWER_SECONDS: Final = 8.0
"""How long a read waits for the broker: less than half a heartbeat, which a read takes for an answer."""
UNSENT_SECONDS: Final = 20
TLS_SCHEME: Final = "amqps://"

# An AttributeError is what py-amqp raises where a connection went away under it.
FAILURES: Final = (*Pyamqp.connection_errors, *Pyamqp.channel_errors, KombuError, OSError, AttributeError)
"""Whatever a broker, or the way to it, can raise; the connection is not used any more after that."""


class Unanswered(TransportError):
    """The broker did not answer in time; whether it did what it was asked to is not known."""


def open_connection(
    address: AmqpAddress,
    password: Callable[[], str | None],
    note_blocked: Callable[[bool], None],
) -> Connection:
    """A connection of its own, made now; `note_blocked` is told when the broker stops and resumes reading.

    Raises one of `FAILURES`, or what `password` raises.
    """
    connection = Connection(
        address.url,
        connect_timeout=CONNECT_SECONDS,
        heartbeat=HEARTBEAT_SECONDS,
        transport_options={
            "read_timeout": ANSWER_SECONDS,
            "write_timeout": ANSWER_SECONDS,
            "frame_handler": tolerant_frames,
            "socket_settings": {socket.TCP_USER_TIMEOUT: UNSENT_SECONDS * 1000},
            "on_blocked": lambda _reason: note_blocked(True),
            "on_unblocked": lambda: note_blocked(False),
            "client_properties": {"connection_name": f"shardworker {address.queue_name}"},
        },
        **tls_options(address),
    )
    if (told := password()) is not None:
        connection.password = told  # given above, it would give way to one in the URL
    connection.ensure_connection(max_retries=0, timeout=CONNECT_SECONDS)
    return connection


def close_connection(connection: Connection, *, politely: bool) -> None:
    """Close it; politely, what was written before is done first, else it is just cut off."""
    try:
        if politely:
            connection.release()
        else:
            connection.collect()
    except FAILURES:
        return  # it is gone, which is what was wanted


def error_from(queue_name: str, error: BaseException) -> TransportError:
    """The transport's error for one of `FAILURES`; a broker's own texts may hold names, and are left out."""
    if isinstance(error, TransportError):
        return error
    if isinstance(error, NotFound):
        return QueueMissing(f"queue {queue_name}: it does not exist; `shardworker setup` creates it")
    if isinstance(error, TimeoutError):
        return Unanswered(
            f"queue {queue_name}: RabbitMQ did not answer in time; the call has to be repeated. "
            "Is there a memory or disk alarm?"
        )
    if isinstance(error, AccessRefused):
        return TransportError(
            f"queue {queue_name}: RabbitMQ refuses it; look at the user, the password and the permissions"
        )
    return TransportError(
        f"queue {queue_name}: RabbitMQ could not be asked ({_cause(error)}); the call has to be repeated"
    )


def _cause(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, KombuError) and error.__cause__ else error
    code = getattr(cause, "reply_code", None)
    return type(cause).__name__ if not code else f"{type(cause).__name__} {code}"


def tls_options(address: AmqpAddress) -> dict[str, Any]:
    """What a connection is told of TLS: over `amqps`, the certificate has to be valid for the host."""
    if not address.url.startswith(TLS_SCHEME):
        return {}
    # None: the host of the URL. Without these two, py-amqp would take any certificate.
    return {"ssl": {"server_hostname": None, "cert_reqs": ssl.CERT_REQUIRED}}
