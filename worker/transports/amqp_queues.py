"""The queues on RabbitMQ: how they are made, those that delay, and what is wrong with one that is there."""

import math
import re
from bisect import bisect_left
from datetime import timedelta
from typing import Any, Final

from amqp.exceptions import AccessRefused, NotFound, PreconditionFailed
from kombu.connection import Connection

DELIVERIES_MAXIMUM: Final = 2**31 - 1
"""Above its limit of deliveries a quorum queue drops a message; RabbitMQ 4 has one of 20 if none is given."""

ARGUMENTS: Final = {"x-queue-type": "quorum", "x-delivery-limit": DELIVERIES_MAXIMUM}
LEVELS_MS: Final = (
    *(100, 200, 500, 1_000, 1_500, 2_000, 3_000, 5_000, 7_000, 10_000, 15_000, 20_000, 30_000, 45_000),
    *(60_000 * minutes for minutes in (1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 45)),
    *(3_600_000 * hours for hours in (1, 1.5, 2, 3, 5, 7, 11)),
)
"""The delays that there are: each has a queue of its own, for a queue ends no wait before its first one's."""

_NOT_COMPARED: Final = (
    "its arguments cannot be compared: the user may not configure it, nor the queues for delays "
    "(NAME.delay.*); grant the permission to configure both"
)
VERSION_MINIMUM: Final = (3, 10)
ARGUMENT: Final = re.compile(r"inequivalent arg '([a-z-]{1,60})'")


def level_ms(delay: timedelta) -> int:
    """The shortest of the delays that is not shorter, in milliseconds; at most the longest one."""
    asked_ms = math.ceil(delay / timedelta(milliseconds=1))
    return int(LEVELS_MS[min(bisect_left(LEVELS_MS, asked_ms), len(LEVELS_MS) - 1)])


def delay_queue(queue_name: str, milliseconds: int) -> str:
    """The name of the queue in which messages for `queue_name` wait so long."""
    return f"{queue_name}.delay.{milliseconds}"


def declare(connection: Connection, queue_name: str) -> None:
    """Make a queue that keeps what it has on several machines, where the cluster has them."""
    with connection.channel() as channel:
        channel.queue_declare(queue_name, durable=True, auto_delete=False, arguments=ARGUMENTS)


def declare_delay(connection: Connection, queue_name: str, milliseconds: int) -> None:
    """Make the queue that messages leave for `queue_name` after so long, none of them lost on the way.

    It has no `x-expires`: RabbitMQ deletes a queue for that with all that waits in it.
    """
    arguments: dict[str, Any] = {
        **ARGUMENTS,
        "x-message-ttl": milliseconds,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue_name,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    with connection.channel() as channel:
        channel.queue_declare(
            delay_queue(queue_name, milliseconds), durable=True, auto_delete=False, arguments=arguments
        )


def waiting(connection: Connection, queue_name: str) -> int:
    """How many messages wait in a queue, those that somebody holds left out; raises `NotFound`."""
    with connection.channel() as channel:
        return int(channel.queue_declare(queue_name, passive=True).message_count)


def exists(connection: Connection, queue_name: str) -> bool:
    """Whether there is a queue of that name."""
    try:
        waiting(connection, queue_name)
    except NotFound:
        return False
    return True


def faults(connection: Connection, queue_name: str) -> list[str]:
    """What is not as it should be with a queue that exists, a sentence each."""
    return [*_version_faults(connection.connection.server_properties), *_queue_faults(connection, queue_name)]


def _queue_faults(connection: Connection, queue_name: str) -> list[str]:
    try:
        declare(connection, queue_name)  # of a queue that is there, RabbitMQ compares the arguments
    except PreconditionFailed as error:
        found = ARGUMENT.search(str(error))
        return [_inequivalent(found[1] if found else "unknown")]
    except AccessRefused:
        return [_NOT_COMPARED]
    return []


def _inequivalent(argument: str) -> str:
    if argument == "x-queue-type":
        return (
            "it is no quorum queue: receives are not counted, so a message that kills workers is not told "
            "from others; make it anew with `shardworker setup`"
        )
    if argument == "x-delivery-limit":
        return (
            "its x-delivery-limit is not the expected one: RabbitMQ drops what comes back too often; "
            "make it anew with `shardworker setup`"
        )
    return f"its argument {argument} is not as `shardworker setup` makes it; make it anew"


def _version_faults(properties: dict[str, Any]) -> list[str]:
    version = str(properties.get("version", ""))
    numbers = tuple(int(number) for number in re.findall(r"\d{1,6}", version)[:2])
    if properties.get("product") != "RabbitMQ" or numbers < VERSION_MINIMUM:
        return [
            f"the broker is no RabbitMQ of 3.10 or later: delayed messages may be lost there ({version!a})"
        ]
    return []
